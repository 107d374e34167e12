"""
============================================
A text column in a grid search over a table
============================================

A table of works of art: a number, a category and a text. The text goes through `BertEmbedder`, the
other columns through what they need, in one `ColumnTransformer`. A grid search then tries choices
of the text step and of the regression together, and all of it is fitted inside the folds.
"""

# %%
# The table
# ---------
#
# 250 works of the Tate. In which year was each made?

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbert import BertEmbedder

table = pd.read_csv(Path(sys.argv[0]).resolve().parents[1] / "data" / "tate_text.csv")
table = table.drop_duplicates(["artist", "title", "medium", "year"]).sample(250, random_state=0)
table["description"] = table["title"] + ". " + table["medium"]
X, year = table[["id", "artist", "description"]], table["year"]
print(X.head(3).to_string(index=False, max_colwidth=60))

# %%
# The search
# ----------
#
# Parameters of the embedder are named like those of any step. Pooling "cls" takes one token's
# vector for the text, "mean" the mean of all. With ``memory``, a pipeline keeps the vectors of a
# fold for all values of ``alpha``, instead of reading the texts again for each.

columns = make_column_transformer(
    (StandardScaler(), ["id"]),
    (OneHotEncoder(handle_unknown="ignore"), ["artist"]),
    (BertEmbedder(normalize=True), "description"),
)
store = TemporaryDirectory()
model = Pipeline([("columns", columns), ("ridge", Ridge())], memory=store.name)
grid = {
    "columns__bertembedder__pooling": ["mean", "cls"],
    "ridge__alpha": [0.1, 1, 10],
}
folds = KFold(3, shuffle=True, random_state=0)
search = GridSearchCV(model, grid, cv=folds, scoring="r2").fit(X, year)
print(f"Best: {search.best_params_}, R² {search.best_score_:.3f}")

# %%
# What matters here
# -----------------
#
# One line a pooling; the bars are the standard deviation over three folds.

results = pd.DataFrame(search.cv_results_)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for pooling, rows in results.groupby("param_columns__bertembedder__pooling"):
    alpha = rows["param_ridge__alpha"].astype(float)
    ax.errorbar(
        alpha * (1.03 if pooling == "cls" else 0.97),  # side by side, so that no bar hides another
        rows["mean_test_score"],
        rows["std_test_score"],
        marker="o",
        capsize=3,
        label=f'pooling="{pooling}"',
    )
ax.set(xscale="log", xlabel="alpha of the ridge regression", ylabel="R² in cross-validation")
ax.legend()
plt.show()

# %%
# The fitted search predicts for new rows of the table, text and all:

new = pd.DataFrame(
    {"id": [21000], "artist": ["Absalon"], "description": ["Untitled. Video, projection, colour"]}
)
print(f"Made about {search.predict(new)[0]:.0f}")
