"""
=================
Poolings compared
=================

BERT gives one vector a token. A *pooling* makes one vector a text of them. Which one is best
depends on how the checkpoint was trained, so it is worth a comparison. We sort what works of art
are made of into six groups, with the vectors of each pooling and the same logistic regression.
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
    "painting": "^(?:oil|acrylic|gouache|watercolour|tempera|enamel|household)",
    "print": "etching|screenprint|lithograph|woodcut|linocut|drypoint|aquatint|relief|prints?\\b",
    "photograph": "photograph|polaroid",
    "moving image": "video|film|projection|slide",
}
table = pd.read_csv(Path(sys.argv[0]).resolve().parents[1] / "data" / "tate_text.csv")
texts = table["medium"].drop_duplicates().sample(500, random_state=0)
labels = pd.Series("object", index=texts.index)
for group, words in GROUPS.items():
    labels[texts.str.lower().str.contains(words)] = group
print(labels.value_counts().to_string())

# %%
# One score a fold
# ----------------
#
# The embedder learns nothing from the texts, so they are embedded once, outside of the folds.

folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
scores = {}
for pooling in ("mean", "mean_sqrt_len", "max", "cls", "pooler"):
    vectors = BertEmbedder(pooling=pooling, normalize=True).fit_transform(texts)
    classifier = LogisticRegression(C=30, max_iter=1000)
    scores[pooling] = cross_val_score(classifier, vectors, labels, cv=folds)
    print(f"{pooling:14} {scores[pooling].mean():.3f} ± {scores[pooling].std():.3f}")

# %%
# "mean" and "mean_sqrt_len" differ in length only, and ``normalize=True`` takes the length away:
# their scores are the same but for rounding. The default model was trained with "mean"; its
# "pooler" layer comes from an earlier training, and was not used in the last. Here the difference
# between poolings is small beside the spread of the folds.

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.boxplot(list(scores.values()), orientation="horizontal", tick_labels=list(scores))
ax.invert_yaxis()
ax.set_xlabel("accuracy, ten folds")
plt.show()
