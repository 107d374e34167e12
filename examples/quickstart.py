"""
==============================================
A text column in a table: BERT, TF-IDF or none
==============================================

In which year was a work of art made? The table holds works of the Tate: their number in its
catalogue (a number), the artist (a category), title and medium (text). We predict the year from
number and artist alone, then with the text read by TF-IDF, then with the text read by BERT.
Everything but the text step is the same, and every step is fitted inside the cross-validation.
"""

# %%
# The table
# ---------
#
# Rows that differ in their catalogue number only are dropped: in different folds, they would give
# the answer away. The rows are sorted by year, so we draw a random sample of them.

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbert import BertEmbedder

parser = argparse.ArgumentParser(description="Predict the year of a work of art.")
parser.add_argument("--rows", type=int, default=2000, help="rows of the table to use")
n_rows = parser.parse_args().rows

table = pd.read_csv(Path(__file__).parent / "data" / "tate_text.csv")
table = table.drop_duplicates(["artist", "title", "medium", "year"])
table = table.sample(min(n_rows, len(table)), random_state=0)
table["description"] = table["title"] + ". " + table["medium"]
X, year = table[["id", "artist", "description"]], table["year"]

print(f"{len(table)} works of {year.min()} to {year.max()}. The first three:\n")
columns = ["id", "artist", "description", "year"]
print(table[columns].head(3).to_string(index=False, max_colwidth=64), "\n")

# %%
# Three pipelines
# ---------------
#
# They differ in one step. `BertEmbedder` turns the texts into vectors of 384 features. With
# ``normalize=True`` these have length 1, as the rows of TF-IDF do, so that the penalty of the
# ridge regression weighs on both alike.


def pipeline(text_encoder):
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), ["id"]),
            ("artist", OneHotEncoder(handle_unknown="ignore"), ["artist"]),
            ("text", text_encoder, "description"),
        ]
    )
    return make_pipeline(columns, RidgeCV(alphas=np.logspace(-2, 3, 11)))


contenders = {
    "no text": pipeline("drop"),
    "TF-IDF": pipeline(TfidfVectorizer(sublinear_tf=True)),
    "BERT": pipeline(BertEmbedder(normalize=True)),
}

# %%
# Cross-validation
# ----------------
#
# R² is the share of the years' variance that is explained: 1 is perfect, 0 is the mean year.

folds = KFold(n_splits=5, shuffle=True, random_state=0)
scores = {}

print(f"{'':8} {'R², mean ± std of 5 folds':>26} {'time':>8}")
for name, model in contenders.items():
    start = perf_counter()
    scores[name] = cross_val_score(model, X, year, cv=folds, scoring="r2")
    result = f"{scores[name].mean():.3f} ± {scores[name].std():.3f}"
    print(f"{name:8} {result:>26} {perf_counter() - start:>6.1f} s", flush=True)

# %%
# Which one wins?
# ---------------
#
# The folds are the same for all, so we can also count in how many of them the best one leads.

best, *others = sorted(scores, key=lambda name: -scores[name].mean())
print(f"\nBest on this table: {best}.")
for other in others:
    lead = scores[best] - scores[other]
    n_won = np.count_nonzero(lead > 0)
    print(f"It leads {other} by {lead.mean():.3f} in R², and in {n_won} of {len(lead)} folds.")

# %%
# Single words tell much about the year here: "projection" and "high definition" are late,
# "woodcut" is early, and a name in the title points to one series. TF-IDF has a weight for each
# such word. BERT reads what words mean together; that pays where texts are free and the same
# thing is said in many ways. Try both: it is one step of the pipeline.
