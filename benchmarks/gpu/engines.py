"""The ways to several workers, one a GPU: joblib's own processes, Dask's and Ray's."""

from contextlib import contextmanager
from importlib.util import find_spec

import joblib


@contextmanager
def with_joblib(n_gpus, *, on_gpu):
    """Take joblib's processes; threads for a try-out: its stand-ins are in this process alone."""
    with joblib.parallel_config("loky" if on_gpu else "threading", n_jobs=n_gpus):
        yield


@contextmanager
def with_dask(n_gpus, *, on_gpu):
    """Start processes that each see another GPU first, as dask-cuda's LocalCUDACluster does."""
    from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster

    if on_gpu:
        gpus = [str(number) for number in range(n_gpus)]
        workers = {
            gpu: {
                "cls": Nanny,
                "options": {
                    "nthreads": 1,
                    "env": {"CUDA_VISIBLE_DEVICES": ",".join(gpus[i:] + gpus[:i])},
                },
            }
            for i, gpu in enumerate(gpus)
        }
        scheduler = {"cls": Scheduler, "options": {"dashboard_address": ":0"}}
        cluster = SpecCluster(workers=workers, scheduler=scheduler)
    else:
        cluster = LocalCluster(
            n_workers=n_gpus, threads_per_worker=1, processes=False, dashboard_address=None
        )
    with cluster, Client(cluster) as client, joblib.parallel_config("dask"):
        client.wait_for_workers(n_gpus, timeout=60)
        yield


@contextmanager
def with_ray(n_gpus, *, on_gpu):
    """Start an actor a GPU."""
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=n_gpus, num_gpus=n_gpus, include_dashboard=False, log_to_driver=False)
    register_ray()
    try:
        with joblib.parallel_config("ray", n_jobs=n_gpus, ray_remote_args={"num_gpus": 1}):
            yield
    finally:
        ray.shutdown()


ENGINES = {"joblib": with_joblib, "dask": with_dask, "ray": with_ray}
PACKAGES = {"joblib": "joblib", "dask": "distributed", "ray": "ray"}


def why_left_out(name, *, on_gpu):
    """Return why an engine is left out, or None."""
    if find_spec(PACKAGES[name]) is None:
        return f"{PACKAGES[name]} is not installed"
    if name == "ray" and not on_gpu:
        return "its workers are processes, without the try-out's stand-ins"
    return None
