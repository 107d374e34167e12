"""
=========================================
Stacking a model of texts and one of data
=========================================

Text and other columns can meet in one `ColumnTransformer`, or each can have a model of its own,
whose predictions a last model weighs. That is stacking. It suits models that cannot share a table
of features, a fine-tuned BERT among them.
"""

# %%
# The table
# ---------
#
# In which year was a work of art made? Number in the catalogue and artist on the one side, title
# and medium on the other.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, StackingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skbert import BertEmbedder

table = pd.read_csv(Path(sys.argv[0]).parent / "data" / "tate_text.csv")
table = table.drop_duplicates(["artist", "title", "medium", "year"]).sample(900, random_state=0)
table["description"] = table["title"] + ". " + table["medium"]
X, year = table[["id", "artist", "description"]], table["year"]
X_train, X_test, y_train, y_test = train_test_split(X, year, test_size=300, random_state=0)

# %%
# Three models, and one above them
# --------------------------------
#
# Each model picks its columns with a `ColumnTransformer` of its own; the stack passes whole rows
# on.

alphas = np.logspace(-2, 2, 9)
numbers = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
models = {
    "columns": make_pipeline(
        make_column_transformer(("passthrough", ["id"]), (numbers, ["artist"])),
        HistGradientBoostingRegressor(max_iter=60, random_state=0),
    ),
    "words": make_pipeline(
        make_column_transformer((TfidfVectorizer(sublinear_tf=True), "description")),
        RidgeCV(alphas),
    ),
    "BERT": make_pipeline(
        make_column_transformer((BertEmbedder(normalize=True), "description")), RidgeCV(alphas)
    ),
}
stack = StackingRegressor(list(models.items()), final_estimator=RidgeCV(alphas), cv=3)
stack.fit(X_train, y_train)

# %%
# Scores on other works
# ---------------------

scores = {name: stack.named_estimators_[name].score(X_test, y_test) for name in models}
scores["stack"] = stack.score(X_test, y_test)
for name, score in scores.items():
    print(f"{name:8} R² {score:.3f}")
weights = zip(models, stack.final_estimator_.coef_, strict=True)
print("Weights in the stack:", ", ".join(f"{name} {weight:.2f}" for name, weight in weights))

figure, ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()), color=["C7", "C7", "C7", "C0"])
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.invert_yaxis()
ax.margins(x=0.12)
ax.set_xlabel("R² on 300 works that no model saw")
plt.show()
