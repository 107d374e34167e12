"""
=========================================
BertEmbedder in skrub's TableVectorizer
=========================================

The `TableVectorizer
<https://skrub-data.org/stable/reference/generated/skrub.TableVectorizer.html>`_ of skrub chooses an
encoder for each column of a raw table: numbers, dates, categories, texts. With
``specific_transformers``, `BertEmbedder` reads the column that holds sentences, and skrub does the
rest.
"""

# %%
# A raw table
# -----------
#
# Reports of bird strikes: which ones had an effect on the flight? No column is prepared, and many
# cells are empty.

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skrub import TableVectorizer

from skbert import BertEmbedder

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "faa_wildlife.csv"
)
table = table.sample(2000, random_state=0)
had_effect = table.pop("effect").notna()
print(table.iloc[0].to_string())

# %%
# Which encoder reads which column?
# ---------------------------------
#
# For columns with many different values, skrub takes its ``StringEncoder``: principal components of
# TF-IDF of character sequences. That suits names of aircraft and of species. The remarks are
# sentences, and go to `BertEmbedder`. ``missing="empty"`` accepts rows without remarks.

folder = TemporaryDirectory()
embedder = BertEmbedder(
    normalize=True,
    missing="empty",
    overflow="windows",
    cache=Path(folder.name) / "vectors",
)
vectorizer = TableVectorizer(specific_transformers=[(embedder, ["remarks"])])
features = vectorizer.fit_transform(table)
encoders = {
    name: type(step).__name__
    for name, step in vectorizer.transformers_.items()
}
n_features = {
    name: len(vectorizer.input_to_outputs_[name]) for name in encoders
}
print(pd.DataFrame({"encoder": encoders, "features": n_features}).to_string())

# %%
# Does it help?
# -------------
#
# The same classifier with three vectorizers, in cross-validation: without the remarks, with the
# ``StringEncoder`` for them, and with `BertEmbedder`. The score is the area under the ROC curve.


# skrub warns of categories that are not in the training part of a fold.
warnings.filterwarnings("ignore", message="Found unknown categories")


def score(vectorizer, X):
    classifier = LogisticRegression(C=0.01, max_iter=2000)
    model = make_pipeline(
        vectorizer,
        SimpleImputer(add_indicator=True),
        StandardScaler(),
        classifier,
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return cross_val_score(
        model, X, had_effect, cv=folds, scoring="roc_auc"
    ).mean()


scores = {
    "without remarks": score(TableVectorizer(), table.drop(columns="remarks")),
    "StringEncoder": score(TableVectorizer(), table),
    "BertEmbedder": score(vectorizer, table),
}
for name, value in scores.items():
    print(f"{name:16} {value:.3f}")

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
bars = ax.bar(list(scores), list(scores.values()), color=["C7", "C7", "C0"])
ax.bar_label(bars, fmt="%.2f", fontsize=14)
ax.tick_params(labelsize=13)
ax.set_ylim(0.5, 1)
ax.set_ylabel("area under the ROC curve", fontsize=13)
plt.show()
