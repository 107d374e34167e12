"""
==========================================
A few labeled texts: fine-tuning or TF-IDF
==========================================

"Etching on paper", "Oil paint on canvas", "Video, projection, colour and sound": the Tate describes
in free words what a work of art is made of. We sort these descriptions into six groups, with only a
hundred labeled ones to learn from: with `BertClassifier`, which fine-tunes the whole model, and
with TF-IDF and a logistic regression.
"""

# %%
# Texts and labels
# ----------------
#
# Each description counts once, so that none is in both the training and the test. The labels come
# from a list of words. That makes the task easier for TF-IDF, which has a weight for each word,
# than labels given by people.

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skbert import BertClassifier

parser = argparse.ArgumentParser(
    description="Sort works of art by what they are made of."
)
parser.add_argument(
    "--labelled", type=int, default=100, help="texts to learn from"
)
parser.add_argument(
    "--steps", type=int, default=100, help="least number of training steps"
)
options = parser.parse_args()

GROUPS = {  # the first that is found counts
    "moving image": "video|film|projection|slide",
    "photograph": "photograph|polaroid",
    "print": "etching|screenprint|lithograph|woodcut|linocut|drypoint|mezzotint|aquatint|"
    "engraving|monotype|relief|prints?\\b",
    "painting": "^(?:oil|acrylic|gouache|watercolour|tempera|enamel|emulsion|household)",
    "drawing": "^(?:ink|graphite|charcoal|pencil|chalk|pastel|crayon|pen)|on paper",
}

table = pd.read_csv(Path(__file__).parent / "data" / "tate_text.csv")
X = table["medium"].drop_duplicates()
y = pd.Series("object", index=X.index)
for group, words in reversed(GROUPS.items()):
    y[X.str.lower().str.contains(words)] = group

X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=options.labelled, stratify=y, random_state=0
)
print(
    f"{len(X_train)} texts to learn from, {len(X_test)} to test on. One of each group:\n"
)
for group, texts in X_train.groupby(y_train):
    print(f"  {group:14} {texts.iloc[0][:72]}")

# %%
# Two classifiers
# ---------------
#
# A hundred texts are seven batches of 16. `BertClassifier` therefore trains for more epochs than
# ``max_epochs``, until there are ``min_steps`` updates. To keep this example short, it has 100
# steps instead of the default 200, and a higher learning rate.

contenders = {
    "TF-IDF": make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)
    ),
    "BERT": BertClassifier(
        min_steps=options.steps, learning_rate=1e-4, random_state=0
    ),
}

right = {}
print(f"\n{'':8} {'accuracy':>10} {'macro F1':>10} {'time':>8}")
for name, model in contenders.items():
    start = perf_counter()
    predicted = model.fit(X_train, y_train).predict(X_test)
    seconds = perf_counter() - start
    right[name] = predicted == y_test
    f1 = f1_score(y_test, predicted, average="macro")
    print(
        f"{name:8} {right[name].mean():>10.3f} {f1:>10.3f} {seconds:>6.1f} s",
        flush=True,
    )

# %%
# Which one wins?
# ---------------
#
# Both predict the same texts, so we count those that only one of them has right. If both were
# equally good, these would be divided like coin tosses.

only = {
    name: np.count_nonzero(right[name] & ~right[other])
    for name, other in [("TF-IDF", "BERT"), ("BERT", "TF-IDF")]
}
n_tosses = sum(only.values())
best = max(only, key=only.__getitem__)
lead = 2 * only[best] - n_tosses
print(
    f"\nOnly BERT is right on {only['BERT']} texts, only TF-IDF on {only['TF-IDF']}."
)
if lead > 2 * np.sqrt(n_tosses):
    print(f"Better on these texts: {best}.")
else:
    print("Too close to call with these texts.")

# %%
# BERT knows most of these words from its pretraining; TF-IDF only knows the words of the training
# texts. So more labels help TF-IDF more: try ``--labelled 600``. Fine-tuning takes longer.
#
# The texts of which BERT is least sure are worth a look, or a label by hand:

bert = contenders["BERT"]
probabilities = bert.predict_proba(X_test)
print("\nBERT is least sure of:\n")
for row in probabilities.max(axis=1).argsort()[:3]:
    guess = bert.classes_[probabilities[row].argmax()]
    print(
        f"  {probabilities[row].max():.2f} {guess:14} {X_test.iloc[row][:60]}"
    )
