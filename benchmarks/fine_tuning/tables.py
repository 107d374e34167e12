"""A table with a column of texts: the columns alone, with TF-IDF, with vectors, and in one model.

Three folds; AUC of "any effect on the flight" for faa_wildlife, R2 of the year for tate. Each
score is printed as soon as it is known.
"""

import random

import numpy as np
import pandas as pd
from shared import data
from shared.report import print_rows
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbert import BertClassifier, BertEmbedder, BertRegressor

N_ROWS = 4_000
ALONE, WITH_TFIDF, WITH_VECTORS, WITH_BOTH = "columns", "+ TF-IDF", "+ vectors", "+ both"
PROBE, ONE_MODEL = "one model, probe", "one model"
CONTENDERS = (ALONE, WITH_TFIDF, WITH_VECTORS, WITH_BOTH, PROBE, ONE_MODEL)


def strikes():
    """Return the table of bird strikes, its target, and the names of its kinds of columns."""
    rows = [row for row in data.read("faa_wildlife.csv") if row["remarks"] not in ("", "NA")]
    table = pd.DataFrame(random.Random(data.SEED).sample(rows, N_ROWS)).replace(
        {"NA": "", "None": ""}
    )
    numbers = ["ac_mass", "num_engs", "height", "speed"]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    categories = ["operator", "atype", "phase_of_flt", "time_of_day", "state", "sky", "species"]
    categories += ["birds_seen", "birds_struck"]
    y = (table.pop("effect") != "").astype(int).to_numpy()
    return table, y, "remarks", numbers, categories


def works():
    """Return the table of art works, their years, and the names of its kinds of columns."""
    rows = [row for row in data.read("tate_text.csv") if row["year"] not in ("", "NA")]
    table = pd.DataFrame(random.Random(data.SEED).sample(rows, min(N_ROWS, len(rows))))
    table["text"] = table["title"] + ". " + table["medium"]
    table["id"] = pd.to_numeric(table["id"])
    y = table.pop("year").astype(float).to_numpy()
    return table, y, "text", ["id"], ["artist"]


TABLES = {"faa_wildlife, AUC": strikes, "tate, R2": works}


def measure(options):
    """Score each contender in three folds; return the mean scores by table."""
    results = {}
    for name, read in list(TABLES.items())[: 1 if options.quick else None]:
        table, y, text, numbers, categories = read()
        is_class = read is strikes
        splitter = StratifiedKFold if is_class else KFold
        folds = list(splitter(3, shuffle=True, random_state=0).split(table, y))
        made = contenders(text, numbers, categories, is_class, options.folder)
        for fold, (train, test) in enumerate(folds[: 1 if options.quick else None]):
            for contender, model in made.items():
                model.fit(table.iloc[train], y[train])
                score = _score(model, table.iloc[test], y[test], is_class)
                print(f"  {name}, fold {fold}, {contender}: {score:.4f}", flush=True)
                results.setdefault(name, {}).setdefault(contender, []).append(score)
    rows = [
        (name, *(f"{np.mean(of_table[contender]):.3f}" for contender in CONTENDERS))
        for name, of_table in results.items()
    ]
    print_rows("A table with a column of texts", ("table", *CONTENDERS), rows)
    return results


def _score(model, X, y, is_class):
    if not is_class:
        return float(r2_score(y, model.predict(X)))
    return float(roc_auc_score(y, model.predict_proba(X)[:, 1]))


def contenders(text, numbers, categories, is_class, folder):
    """Return a pipeline by name."""
    frequent = OneHotEncoder(
        sparse_output=False, handle_unknown="infrequent_if_exist", min_frequency=5
    )
    filled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    others = [("numbers", filled, numbers), ("categories", frequent, categories)]
    tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=2)
    vectors = BertEmbedder(str(folder), normalize=True, device="cpu")

    def linear(*text_steps):
        steps = [(f"text{number}", step, text) for number, step in enumerate(text_steps)]
        last = (
            LogisticRegressionCV(cv=3, scoring="roc_auc", max_iter=2_000)
            if is_class
            else RidgeCV(np.logspace(-3, 3, 13))
        )
        return make_pipeline(ColumnTransformer([*others, *steps]), last)

    kind = BertClassifier if is_class else BertRegressor
    numeric = ColumnTransformer(
        [
            ("categories", frequent, categories),
            ("rest", "passthrough", [*numbers, text]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    return {
        ALONE: linear(),
        WITH_TFIDF: linear(tfidf),
        WITH_VECTORS: linear(vectors),
        WITH_BOTH: linear(tfidf, vectors),
        PROBE: make_pipeline(
            numeric,
            kind(str(folder), text_columns=text, max_epochs=0, device="cpu", random_state=0),
        ),
        ONE_MODEL: make_pipeline(
            numeric, kind(str(folder), text_columns=text, device="cpu", random_state=0)
        ),
    }
