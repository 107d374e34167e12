"""
==============================================
A text column in a table: BERT, TF-IDF or none
==============================================

Did a bird strike have an effect on the flight? Reports to the US Federal Aviation Administration
have codes, numbers and short remarks, and many cells are empty. We predict the effect from codes
and numbers alone, then with the remarks read by TF-IDF, by BERT, and by both. The second part has
questions to a bank, with five labeled texts for each of 77 intents.
"""

# %%
# The table
# ---------
#
# Where ``effect`` is empty, there was none. TF-IDF and `BertClassifier` need texts, so missing
# remarks become empty texts here. `BertEmbedder` alone would only need ``missing="empty"``.

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler

from skbert import BertClassifier, BertEmbedder

parser = argparse.ArgumentParser(
    description="BERT and TF-IDF on a table and with few labels."
)
parser.add_argument(
    "--rows", type=int, default=4000, help="bird strikes to use"
)
parser.add_argument(
    "--epochs",
    type=int,
    default=1,
    help="of fine-tuning; 0 trains the last layer only",
)
parser.add_argument("--intents", type=int, default=77, help="intents to use")
options = parser.parse_args()

DATA = Path(__file__).parent / "data"
CODES = [
    "operator",
    "atype",
    "phase_of_flt",
    "time_of_day",
    "state",
    "sky",
    "species",
]
CODES += ["birds_seen", "birds_struck"]
NUMBERS = ["ac_mass", "num_engs", "height", "speed"]
TEXT = "remarks"
TUNED = "one fine-tuned model"

table = pd.read_csv(DATA / "faa_wildlife.csv")
table = table.sample(min(options.rows, len(table)), random_state=0)
n_missing = table[TEXT].isna().sum()
table[TEXT] = table[TEXT].fillna("")
X, had_effect = table[[*CODES, *NUMBERS, TEXT]], table["effect"].notna()

print(
    f"{len(table)} bird strikes, {had_effect.mean():.1%} with an effect on the flight;"
)
print(f"{n_missing} have no remarks.\n")

# %%
# Six models
# ----------
#
# The first four differ only in how they read the remarks. `Normalizer` gives the vectors of BERT
# length 1, like the rows of TF-IDF, so that the penalty of the logistic regression is the same for
# both; ``normalize=True`` does the same. The cache stores the vectors, so that each remark is
# embedded once. The fifth model has the remarks only. The last is one model of remarks and columns:
# `BertClassifier` with ``text_columns``, fine-tuned in its upper third.


def read(*text_steps):
    return make_column_transformer(
        (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist", min_frequency=5
            ),
            CODES,
        ),
        (
            make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
            NUMBERS,
        ),
        *text_steps,
    )


folder = TemporaryDirectory()
cache = Path(folder.name) / "vectors.sqlite"
embedder = BertEmbedder(overflow="windows", cache=cache)
bert = (make_pipeline(embedder, Normalizer()), TEXT)
tfidf = (TfidfVectorizer(sublinear_tf=True), TEXT)
logistic = LogisticRegression(max_iter=2000)
numeric = make_column_transformer(
    (
        OneHotEncoder(
            sparse_output=False,
            handle_unknown="infrequent_if_exist",
            min_frequency=5,
        ),
        CODES,
    ),
    ("passthrough", [*NUMBERS, TEXT]),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
fine_tuned = BertClassifier(
    text_columns=TEXT,
    max_epochs=options.epochs,
    min_steps=0,
    freeze=4,
    overflow="windows",
    cache=cache,
    random_state=0,
)
contenders = {
    "no text": make_pipeline(read(), logistic),
    "TF-IDF": make_pipeline(read(tfidf), logistic),
    "BERT": make_pipeline(read(bert), logistic),
    "BERT and TF-IDF": make_pipeline(read(bert, tfidf), logistic),
    "BERT, remarks only": make_pipeline(
        make_column_transformer(bert), logistic
    ),
    TUNED: make_pipeline(numeric, fine_tuned),
}

# %%
# Cross-validation
# ----------------
#
# The area under the ROC curve (AUC) is the chance that a strike with an effect has a higher
# predicted probability than one without: 1 is perfect, 0.5 is random. Fine-tuning takes longer, so
# it is done in the first fold only.

folds = list(
    StratifiedKFold(3, shuffle=True, random_state=0).split(X, had_effect)
)
probabilities = pd.DataFrame(index=X.index)
scores = {}

print(f"{'':24} {'AUC, first fold':>16} {'mean ± std of 3':>18} {'time':>8}")
for name, model in contenders.items():
    start = perf_counter()
    predicted = np.full(len(X), np.nan)
    scores[name] = []
    for train, test in folds[:1] if name == TUNED else folds:
        model.fit(X.iloc[train], had_effect.iloc[train])
        predicted[test] = model.predict_proba(X.iloc[test])[:, 1]
        scores[name].append(
            roc_auc_score(had_effect.iloc[test], predicted[test])
        )
    seconds = perf_counter() - start
    probabilities[name] = predicted
    of_all = (
        "–"
        if name == TUNED
        else f"{np.mean(scores[name]):.3f} ± {np.std(scores[name]):.3f}"
    )
    print(
        f"{name:24} {scores[name][0]:>16.3f} {of_all:>18} {seconds:>6.1f} s",
        flush=True,
    )

# %%
# All models have the same folds, so we can also count in how many of them the best one leads.

in_all = {
    name: np.array(of_folds)
    for name, of_folds in scores.items()
    if name != TUNED
}
best, *others = sorted(in_all, key=lambda name: -in_all[name].mean())
print(f"\nBest on this table: {best}.")
for other in others:
    lead = in_all[best] - in_all[other]
    n_won = np.count_nonzero(lead > 0)
    print(
        f"It leads {other} by {lead.mean():.3f}, and in {n_won} of {len(folds)} folds."
    )
lead = scores[TUNED][0] - scores[best][0]
print(f"In the first fold, the fine-tuned model is {lead:+.3f} from it.")

# %%
# Five held-out remarks of the first fold, three with an effect and two without.

columns = {
    "TF-IDF": "TF-IDF",
    "BERT": "BERT",
    "BERT and TF-IDF": "both",
    TUNED: "one model",
}
shown = probabilities.iloc[folds[0][1]][list(columns)].rename(columns=columns)
shown.insert(0, "effect", had_effect.map({True: "yes", False: "no"}))
shown["remark"] = X[TEXT].str.split().str.join(" ")
shown = shown[shown["remark"].str.len() >= 40]
five = pd.concat(
    [
        shown[shown["effect"] == "yes"].head(3),
        shown[shown["effect"] == "no"].head(2),
    ]
)
print("\nProbability of an effect on the flight:\n")
print(
    five.to_string(index=False, max_colwidth=90, float_format="{:.2f}".format),
    "\n",
)

# %%
# Few labels
# ----------
#
# Customers ask a bank the same thing in many words. With five texts per intent, most words of a new
# question are in none of them. BERT knows these words from its pretraining, and with
# ``label_texts="auto"`` it learns from the names of the intents, too. ``max_epochs=0`` trains the
# last layer only.

questions = pd.read_csv(DATA / "banking77_few.csv")
intents = questions["category"].unique()[: options.intents]
questions = questions[questions["category"].isin(intents)]
is_train = questions["part"] == "train"
train, test = questions[is_train], questions[~is_train]
print(
    f"{len(intents)} intents, {len(train)} texts to learn from, {len(test)} to test on.\n"
)

few_labels = {
    "TF-IDF": make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)
    ),
    "BERT": make_pipeline(
        BertEmbedder(normalize=True), LogisticRegression(C=10)
    ),
    "BERT and names": BertClassifier(max_epochs=0, label_texts="auto"),
}
accuracy = {}
print(f"{'':24} {'accuracy':>26} {'time':>8}")
for name, model in few_labels.items():
    start = perf_counter()
    accuracy[name] = model.fit(train["text"], train["category"]).score(
        test["text"], test["category"]
    )
    seconds = perf_counter() - start
    print(f"{name:24} {accuracy[name]:>26.3f} {seconds:>6.1f} s", flush=True)
print(f"\nBest with few labels: {max(accuracy, key=accuracy.__getitem__)}.")

# %%
# TF-IDF has a weight for each word, and learns the important ones from thousands of rows: "RETD",
# "ABORTED", "PRECAUTIONARY". Here it is as good as the frozen vectors of BERT, and faster. Both
# together are better than either. With few labels, BERT is far ahead. It is worth trying both: each
# is one step of the pipeline.
