"""
=================================
Find wrong labels with cleanlab
=================================

Labels are given by people, and some are wrong. `cleanlab <https://docs.cleanlab.ai>`_ finds them
with the probabilities of any classifier: a label to which a good model gives a low probability
deserves a second look.
"""

# %%
# Questions, some with a wrong label
# ----------------------------------
#
# 885 questions to a bank with their topics, from BANKING77. To measure what is found, we change the
# labels of 5 % of them.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder

from skbert import BertEmbedder

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
texts = table["text"]
topics = LabelEncoder().fit(table["category"])
true_labels = topics.transform(table["category"])

generator = np.random.default_rng(0)
changed = generator.random(len(texts)) < 0.05
labels = true_labels.copy()
labels[changed] = (
    labels[changed] + generator.integers(1, 77, changed.sum())
) % 77
print(f"{changed.sum()} of {len(texts)} labels are changed")

# %%
# Probabilities from cross-validation
# -----------------------------------
#
# Each probability must come from a model that was not trained on the text itself: that is what
# `cross_val_predict` returns. cleanlab needs the labels as numbers from 0.

folds = StratifiedKFold(5, shuffle=True, random_state=0)
probabilities = {
    name: cross_val_predict(
        make_pipeline(encoder, LogisticRegression(C=10)),
        texts,
        labels,
        cv=folds,
        method="predict_proba",
    )
    for name, encoder in {
        "TF-IDF": TfidfVectorizer(sublinear_tf=True),
        "BERT": BertEmbedder(normalize=True),
    }.items()
}

# %%
# How many are found?
# -------------------
#
# Who reads the texts in the order of cleanlab's scores, worst first, finds the wrong labels early.

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
checked = np.arange(1, len(texts) + 1) / len(texts)
for name, probability in probabilities.items():
    quality = get_label_quality_scores(labels, probability)
    found = np.cumsum(changed[quality.argsort()]) / changed.sum()
    ax.plot(checked, found, linewidth=3, label=name)
    print(
        f"{name:7} finds {found[len(texts) // 10]:.0%} in a tenth of the texts"
    )
ax.plot([0, 1], [0, 1], ":", color="gray", label="in random order")
ax.set_xlabel("share of the texts that are checked", fontsize=13)
ax.set_ylabel("wrong labels found", fontsize=13)
ax.legend(fontsize=13)
plt.show()

# %%
# Wrong labels in the original data
# ---------------------------------
#
# ``find_label_issues`` also decides which labels to doubt. Some of them were not changed here: the
# topics of BANKING77 overlap, and some of its labels are wrong.

suspects = find_label_issues(
    labels,
    probabilities["BERT"],
    return_indices_ranked_by="self_confidence",
    n_jobs=1,
)
n_changed = changed[suspects].sum()
print(f"{len(suspects)} labels are doubted, {n_changed} of them were changed.")
for row in [row for row in suspects if not changed[row]][:8]:
    given, likely = labels[row], probabilities["BERT"][row].argmax()
    print(f"\n{texts[row][:76]}")
    print(f"  {topics.classes_[given]} -> {topics.classes_[likely]}")
