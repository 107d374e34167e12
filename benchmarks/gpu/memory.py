"""What the device holds, and on a CPU what stands in for it."""

import gc
from contextlib import contextmanager
from unittest.mock import patch

import torch
from shared.process import MB, peak_mb

from skbert import BertClassifier
from skbert._models import device as _device

N_FAILURES = 2


def held_mb(setting):
    """Return the MB of all tensors on the device."""
    gc.collect()
    if setting.on_gpu:
        return torch.cuda.memory_allocated() / MB
    # By type: to ask some of torch's objects what they are warns.
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return sum(dict(map(_place_and_bytes, tensors)).values()) / MB


def _place_and_bytes(tensor):
    """Return where a tensor lies and how large it is: views of one storage count once."""
    try:
        storage = tensor.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    except (NotImplementedError, RuntimeError):  # weights in oneDNN's own layout
        return id(tensor), tensor.numel() * tensor.element_size()


def peak_of(setting, run):
    """Run; return the most MB of tensors on the device at once, beyond those before, and all."""
    if not setting.on_gpu:
        run()
        return {"peak_mb": peak_mb(), "beyond_mb": None}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() / MB
    run()
    peak = torch.cuda.max_memory_allocated() / MB
    reserved = torch.cuda.max_memory_reserved() / MB
    return {"peak_mb": peak, "beyond_mb": peak - before, "reserved_mb": reserved}


@contextmanager
def scarce(setting, room_mb, model):
    """Leave only so many MB on the device beside what is held; count how often it runs out.

    On a CPU the model's first calls raise what torch does.
    """
    failures = []
    free = _device.free_cached_memory

    def counting(device):
        failures.append(1)
        free(device)

    with patch.object(_device, "free_cached_memory", counting):
        if setting.on_gpu:
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(0).total_memory
            share = (torch.cuda.memory_reserved() + room_mb * MB) / total
            torch.cuda.set_per_process_memory_fraction(share)
            try:
                yield failures
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
        else:
            with failing(model):
                yield failures


@contextmanager
def failing(model):
    """Let the first calls of a model, or of all classifiers' models, run out of memory."""
    calls = []

    def forward(own, *args, **kwargs):
        calls.append(1)
        if len(calls) <= N_FAILURES:
            raise torch.OutOfMemoryError("a stand-in for a small GPU")
        return own(*args, **kwargs)

    if model is not None:
        own = model.forward
        with patch.object(model, "forward", lambda *args, **kwargs: forward(own, *args, **kwargs)):
            yield
        return
    load = BertClassifier._load_trainable

    def load_failing(self, *args):
        encoder, tokenizer = load(self, *args)
        own = encoder.model.forward
        encoder.model.forward = lambda *args, **kwargs: forward(own, *args, **kwargs)
        return encoder, tokenizer

    with patch.object(BertClassifier, "_load_trainable", load_failing):
        yield
