"""
==============================================
A text column in a table: BERT, TF-IDF or none
==============================================

Did a bird strike have an effect on the flight? Reports to the US Federal Aviation Administration
hold codes, numbers and hasty remarks, and many cells are empty. We predict the effect from codes
and numbers alone, then with the remarks read by TF-IDF, by BERT, and by both. Below that: questions
to a bank, with five labelled texts for each of 77 intents.
"""

# %%
# The table
# ---------
#
# Where `effect` is empty, there was none. TF-IDF and `BertClassifier` want texts, so that missing
# remarks become empty ones here; `BertEmbedder` alone would need no more than ``missing="empty"``.

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

parser = argparse.ArgumentParser(description="BERT and TF-IDF on a table and on few labels.")
parser.add_argument("--rows", type=int, default=4000, help="bird strikes to use")
parser.add_argument("--epochs", type=int, default=1, help="of fine-tuning; 0 is a linear probe")
parser.add_argument("--intents", type=int, default=77, help="intents to use")
options = parser.parse_args()

DATA = Path(__file__).parent / "data"
CODES = ["operator", "atype", "phase_of_flt", "time_of_day", "state", "sky", "species"]
CODES += ["birds_seen", "birds_struck"]
NUMBERS = ["ac_mass", "num_engs", "height", "speed"]
TEXT = "remarks"
TUNED = "one fine-tuned model"

table = pd.read_csv(DATA / "faa_wildlife.csv")
table = table.sample(min(options.rows, len(table)), random_state=0)
n_missing = table[TEXT].isna().sum()
table[TEXT] = table[TEXT].fillna("")
X, had_effect = table[[*CODES, *NUMBERS, TEXT]], table["effect"].notna()

print(f"{len(table)} bird strikes, {had_effect.mean():.1%} with an effect on the flight;")
print(f"{n_missing} have no remarks.\n")

# %%
# Six models
# ----------
#
# The first four differ in how they read the remarks, and in nothing else. `Normalizer` gives BERT's
# vectors length 1, as the rows of TF-IDF have, so that the penalty of the logistic regression
# weighs on both alike; ``normalize=True`` does the same. The cache keeps the vectors: only the
# model that meets a remark first computes its vector. The fifth reads the remarks alone. The last
# is one model of remarks and columns: `BertClassifier` with ``text_columns``, its upper third
# trained.


def read(*text_steps):
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5), CODES),
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS),
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
        OneHotEncoder(sparse_output=False, handle_unknown="infrequent_if_exist", min_frequency=5),
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
    "BERT, remarks only": make_pipeline(make_column_transformer(bert), logistic),
    TUNED: make_pipeline(numeric, fine_tuned),
}

# %%
# Cross-validation
# ----------------
#
# The area under the ROC curve (AUC) is the chance that a strike with an effect has a higher
# probability than one without: 1 is perfect, 0.5 a toss of a coin. Fine-tuning takes long, so it is
# done in the first fold only.

folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, had_effect))
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
        scores[name].append(roc_auc_score(had_effect.iloc[test], predicted[test]))
    seconds = perf_counter() - start
    probabilities[name] = predicted
    of_all = "–" if name == TUNED else f"{np.mean(scores[name]):.3f} ± {np.std(scores[name]):.3f}"
    print(f"{name:24} {scores[name][0]:>16.3f} {of_all:>18} {seconds:>6.1f} s", flush=True)

# %%
# Which one wins? The folds are the same for all, so we can also count in how many the best one
# leads.

in_all = {name: np.array(of_folds) for name, of_folds in scores.items() if name != TUNED}
best, *others = sorted(in_all, key=lambda name: -in_all[name].mean())
print(f"\nBest on this table: {best}.")
for other in others:
    lead = in_all[best] - in_all[other]
    n_won = np.count_nonzero(lead > 0)
    print(f"It leads {other} by {lead.mean():.3f}, and in {n_won} of {len(folds)} folds.")
lead = scores[TUNED][0] - scores[best][0]
print(f"In the first fold, the fine-tuned model is {lead:+.3f} from it.")

# %%
# Five remarks of the first fold, three with an effect and two without. The probabilities come from
# models that did not see them.

columns = {"TF-IDF": "TF-IDF", "BERT": "BERT", "BERT and TF-IDF": "both", TUNED: "one model"}
shown = probabilities.iloc[folds[0][1]][list(columns)].rename(columns=columns)
shown.insert(0, "effect", had_effect.map({True: "yes", False: "no"}))
shown["remark"] = X[TEXT].str.split().str.join(" ")
shown = shown[shown["remark"].str.len() >= 40]
five = pd.concat([shown[shown["effect"] == "yes"].head(3), shown[shown["effect"] == "no"].head(2)])
print("\nProbability of an effect on the flight:\n")
print(five.to_string(index=False, max_colwidth=90, float_format="{:.2f}".format), "\n")

# %%
# Few labels
# ----------
#
# Customers ask a bank the same thing in many words. With five examples of an intent, most words of
# a new question are in none of them. BERT knows them from its pre-training, and with
# ``label_texts="auto"`` it reads the names of the intents, too. ``max_epochs=0`` leaves the BERT as
# it is and fits the layer on it only.

questions = pd.read_csv(DATA / "banking77_few.csv")
intents = questions["category"].unique()[: options.intents]
questions = questions[questions["category"].isin(intents)]
is_train = questions["part"] == "train"
train, test = questions[is_train], questions[~is_train]
print(f"{len(intents)} intents, {len(train)} texts to learn from, {len(test)} to test on.\n")

few_labels = {
    "TF-IDF": make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)),
    "BERT": make_pipeline(BertEmbedder(normalize=True), LogisticRegression(C=10)),
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
# TF-IDF has a weight for each word, and thousands of rows teach it those that matter: "RETD",
# "ABORTED", "PRECAUTIONARY". There it is as good as BERT as it is, and quicker. Both together are
# better than either: each knows something that the other does not. With few labels BERT is far
# ahead. Try both: it is one step of the pipeline.
