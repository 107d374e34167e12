"""
=================================
The same vectors on other engines
=================================

With ``n_jobs``, `BertEmbedder` sends parts of the texts to the workers of joblib. These are
processes or threads of one machine, or the machines of a Dask or Ray cluster. The code stays the
same, and so do the vectors.
"""

# %%
# Texts
# -----
#
# 500 questions to a bank.

import sys
from pathlib import Path
from time import perf_counter

import dask.dataframe as dd
import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster

from skbert import BertEmbedder

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
table = table[table["part"] == "test"]
texts = table["text"]
embedder = BertEmbedder().fit(texts)
expected = embedder.transform(texts)

# %%
# Three backends
# --------------
#
# `joblib.parallel_config` chooses the backend. ``LocalCluster`` stands for a real cluster, whose
# scheduler would be named by its address: ``Client("scheduler:8786")``.

client = Client(
    LocalCluster(n_workers=2, processes=False, dashboard_address=None)
)
parallel = BertEmbedder(n_jobs=2).fit(texts)
seconds = {}
for backend in ("loky", "threading", "dask"):
    with joblib.parallel_config(backend=backend):
        parallel.transform(texts.head(20))  # starts the workers
        start = perf_counter()
        vectors = parallel.transform(texts)
    seconds[backend] = perf_counter() - start
    difference = np.abs(vectors - expected).max()
    print(f"{backend:10} largest difference {difference:.0e}")

# %%
# A Dask data frame
# -----------------
#
# Dask can also call ``transform`` itself, for each partition of a data frame that need not fit into
# the memory of one machine. ``meta`` describes the result: that of no texts.

frame = dd.from_pandas(table, npartitions=4)
to_frame = BertEmbedder().set_output(transform="pandas").fit(texts)
lazy = frame["text"].map_partitions(
    to_frame.transform, meta=to_frame.transform([])
)
vectors = lazy.compute()
difference = np.abs(vectors.to_numpy() - expected).max()
print(f"{vectors.shape[0]} rows, largest difference {difference:.0e}")
client.close()

# %%
# Is it faster?
# -------------
#
# Not on one machine with a CPU: one process already uses all cores. Engines pay off with several
# GPUs and several machines.

start = perf_counter()
embedder.transform(texts)
seconds["one process"] = perf_counter() - start

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
bars = ax.barh(
    list(seconds), [len(texts) / of_backend for of_backend in seconds.values()]
)
ax.bar_label(bars, fmt="%.0f", fontsize=14, padding=3)
ax.tick_params(labelsize=13)
ax.margins(x=0.15)
ax.set_xlabel("texts per second on this machine", fontsize=13)
plt.show()
