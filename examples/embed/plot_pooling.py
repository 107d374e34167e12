"""
=================
Poolings compared
=================

A model of the BERT family gives one vector per token. *Pooling* makes one vector per text of them.
Which pooling is best depends on how the model was trained. Here the descriptions of what works of
art are made of are sorted into six groups, with each pooling and the same logistic regression.
"""

# %%
# Texts and labels
# ----------------

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score

from skbert import BertEmbedder

GROUPS = {  # the last that is found counts
    "paper": "on paper",
    "painting": "^(?:oil|acrylic|gouache|watercolour|tempera|enamel)",
    "print": "etching|screenprint|lithograph|woodcut|linocut|drypoint|"
    "aquatint|mezzotint|relief|prints?\\b",
    "photograph": "photograph|polaroid",
    "moving image": "video|film|projection|slide",
}
table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "tate_text.csv"
)
texts = table["medium"].drop_duplicates().sample(500, random_state=0)
labels = pd.Series("object", index=texts.index)
for group, words in GROUPS.items():
    labels[texts.str.lower().str.contains(words)] = group
print(labels.value_counts().to_string())

# %%
# One score per fold
# ------------------
#
# `BertEmbedder` learns nothing from the texts, so they can be embedded once, outside the folds.

folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
scores = {}
for pooling in ("mean", "mean_sqrt_len", "max", "cls", "pooler"):
    vectors = BertEmbedder(pooling=pooling, normalize=True).fit_transform(
        texts
    )
    classifier = LogisticRegression(C=30, max_iter=1000)
    scores[pooling] = cross_val_score(classifier, vectors, labels, cv=folds)
    mean, deviation = scores[pooling].mean(), scores[pooling].std()
    print(f"{pooling:14} {mean:.3f} ± {deviation:.3f}")

# %%
# The default model was trained with "mean", and this is the best. "mean_sqrt_len" differs from it
# in length only, which ``normalize=True`` removes. With ``pooling="auto"``, the default,
# `BertEmbedder` takes what the model was trained with. The differences are small compared with the
# spread of the folds.

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
ax.boxplot(
    list(scores.values()),
    orientation="horizontal",
    tick_labels=list(scores),
    widths=0.6,
)
ax.tick_params(labelsize=12)
ax.invert_yaxis()
ax.set_xlabel("accuracy, ten folds", fontsize=13)
plt.show()
