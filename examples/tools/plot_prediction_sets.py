"""
=============================================
Prediction sets that hold the right class
=============================================

A question to a bank can belong to one of 77 topics. Instead of the one most likely topic,
`MAPIE <https://mapie.readthedocs.io>`_ gives a set of topics that holds the right one in, say, 90
of 100 cases. For clear questions the set is small, for ambiguous ones it is large. The method is
called conformal prediction, and works with any classifier.
"""

# %%
# Three parts of the data
# -----------------------
#
# One part trains the classifier, the second measures how low the probability of the right topic may
# be, the third tests the sets. MAPIE expects the texts in an array.

import sys
import textwrap
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mapie.classification import SplitConformalClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import BertEmbedder

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
texts, topics = (
    table["text"].to_numpy(object),
    table["category"].to_numpy(object),
)
is_train = (table["part"] == "train").to_numpy()
held_out = np.random.default_rng(0).permutation(np.flatnonzero(~is_train))
calibration, test = held_out[:250], held_out[250:]

classifier = make_pipeline(
    BertEmbedder(normalize=True), LogisticRegression(C=10)
)
classifier.fit(texts[is_train], topics[is_train])
accuracy = classifier.score(texts[test], topics[test])
print(f"The most likely topic is right for {accuracy:.0%} of the test texts")

# %%
# Sets for three levels of confidence
# -----------------------------------

# MAPIE warns that two of the 77 topics are not among the 250 texts.
warnings.filterwarnings(
    "ignore", message=".*conformalization dataset has less labels"
)

levels = [0.8, 0.9, 0.95]
conformal = SplitConformalClassifier(
    classifier, confidence_level=levels, prefit=True
)
conformal.conformalize(texts[calibration], topics[calibration])
_, sets = conformal.predict_set(texts[test])  # texts × topics × levels

right = np.searchsorted(classifier.classes_, topics[test])
rows = []
for number, level in enumerate(levels):
    covered = sets[np.arange(len(test)), right, number].mean()
    size = sets[:, :, number].sum(axis=1).mean()
    rows.append((f"{level:.0%}", f"{covered:.0%}", f"{size:.1f}"))
names = ["level", "sets with the right topic", "mean size"]
print(pd.DataFrame(rows, columns=names).to_string(index=False))

# %%
# How large are the sets?
# -----------------------
#
# Most questions have few topics to choose from. A set with many says that the question is unclear,
# and should go to a person.

sizes = sets[:, :, 1].sum(axis=1)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
ax.hist(sizes, bins=np.arange(sizes.max() + 2) - 0.5, rwidth=0.85)
ax.set_xlabel("topics in the set (level 90 %)", fontsize=13)
ax.set_ylabel("questions", fontsize=13)
plt.show()

# %%
# The question with the largest set, and one with a set of two:

for row in (sizes.argmax(), np.flatnonzero(sizes == 2)[0]):
    print(textwrap.fill(texts[test][row]))
    for topic in classifier.classes_[sets[row, :, 1]]:
        print("   ", topic)
