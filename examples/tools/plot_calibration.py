"""
========================
Calibrated probabilities
========================

If a classifier gives a probability of 0.8, is it right in 80 of 100 cases? A logistic regression
with a weak penalty memorizes its training texts, and is too sure of others.
`CalibratedClassifierCV` corrects its probabilities. It takes a pipeline with `BertEmbedder` like
any other classifier.
"""

# %%
# Early or late?
# --------------
#
# Was a work of art in the collection of the Tate made before 1995, or after 2004? Its title and
# medium say something about that, but not all.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skbert import BertEmbedder

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "tate_text.csv"
)
table = table.drop_duplicates(["artist", "title", "medium", "year"])
table = table[(table["year"] < 1995) | (table["year"] > 2004)].sample(
    900, random_state=0
)
texts = table["title"] + ". " + table["medium"]
is_late = table["year"] > 2004
X_train, X_test, y_train, y_test = train_test_split(
    texts, is_late, test_size=400, random_state=0
)

# %%
# With and without calibration
# ----------------------------
#
# The Brier score is the mean squared error of the probabilities: smaller is better.

model = make_pipeline(
    BertEmbedder(normalize=True), LogisticRegression(C=1000, max_iter=2000)
)
contenders = {
    "weak penalty": model,
    "calibrated": CalibratedClassifierCV(model, method="sigmoid", cv=4),
}
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
for name, contender in contenders.items():
    probability = contender.fit(X_train, y_train).predict_proba(X_test)[:, 1]
    accuracy = accuracy_score(y_test, probability > 0.5)
    brier = brier_score_loss(y_test, probability)
    print(f"{name:14} accuracy {accuracy:.3f}, Brier score {brier:.3f}")
    CalibrationDisplay.from_predictions(
        y_test, probability, n_bins=8, strategy="quantile", name=name, ax=ax
    )
ax.set_xlabel("predicted probability of a late work", fontsize=13)
ax.set_ylabel("share of late works", fontsize=13)
ax.legend(fontsize=12)
plt.show()
