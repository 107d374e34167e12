"""
==============================================
Does the text column help? Ask the grid search
==============================================

A table of bird strikes has categories, numbers and remarks. Each kind of column has its own step
in a `ColumnTransformer`. In a grid search, a whole step can be a parameter: here the remarks are
dropped, read by TF-IDF, or read by `BertEmbedder`, with several penalties of the classifier each.
"""

# %%
# The table
# ---------
#
# Did the strike have an effect on the flight, such as an aborted takeoff? Pilots and airports
# reported to the US Federal Aviation Administration. The remarks are short, full of abbreviations,
# and missing in one row of seven.

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbert import BertEmbedder

CATEGORIES = [
    "operator",
    "atype",
    "phase_of_flt",
    "time_of_day",
    "state",
    "sky",
    "species",
]
NUMBERS = ["ac_mass", "num_engs", "height", "speed"]

table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "faa_wildlife.csv"
)
table = table.sample(2000, random_state=0)
table["remarks"] = table["remarks"].fillna("")
had_effect = table.pop("effect").notna()
X_train, X_test, y_train, y_test = train_test_split(
    table, had_effect, train_size=1200, stratify=had_effect, random_state=0
)
print(
    X_train[["species", "height", "remarks"]]
    .head(4)
    .to_string(index=False, max_colwidth=48)
)

# %%
# The search
# ----------
#
# ``"drop"`` leaves the column out. It is among the candidates, so the search itself tells whether
# the texts are worth their time. The cache stores each vector: a text is embedded once for all
# folds and penalties. ``overflow="windows"`` reads the few long remarks whole.

folder = TemporaryDirectory()
embedder = BertEmbedder(
    normalize=True, overflow="windows", cache=Path(folder.name) / "vectors"
)
readers = {
    "without remarks": "drop",
    "TF-IDF": TfidfVectorizer(sublinear_tf=True),
    "BERT": embedder,
}
columns = ColumnTransformer(
    [
        ("remarks", "drop", "remarks"),
        (
            "numbers",
            make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
            NUMBERS,
        ),
        (
            "categories",
            OneHotEncoder(handle_unknown="ignore", min_frequency=5),
            CATEGORIES,
        ),
    ]
)
model = make_pipeline(columns, LogisticRegression(max_iter=3000))
grid = {
    "columntransformer__remarks": list(readers.values()),
    "logisticregression__C": [0.1, 0.3, 1, 3, 10],
}
folds = StratifiedKFold(4, shuffle=True, random_state=0)
search = GridSearchCV(model, grid, cv=folds, scoring="roc_auc").fit(
    X_train, y_train
)

# %%
# The result
# ----------
#
# The score is the area under the ROC curve: the probability that a strike with an effect is ranked
# above one without. The remarks help at every penalty.

results = pd.DataFrame(search.cv_results_).astype(
    {"param_logisticregression__C": float}
)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
for number, name in enumerate(readers):
    rows = results.iloc[5 * number : 5 * (number + 1)]
    penalty, score = (
        rows["param_logisticregression__C"],
        rows["mean_test_score"],
    )
    ax.plot(penalty, score, marker="o", linewidth=2, label=name)
    print(f"{name:16} {score.max():.3f} at C={penalty[score.idxmax()]:g}")
ax.set_xscale("log")
ax.set_xlabel("C of the logistic regression", fontsize=12)
ax.set_ylabel("area under the ROC curve", fontsize=12)
ax.legend(fontsize=12)
plt.show()

# %%
# The fitted search is the best candidate, trained on all 1,200 rows. The score on strikes that took
# no part in the search:

print(f"{len(X_test)} held-out strikes: {search.score(X_test, y_test):.3f}")
