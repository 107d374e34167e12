"""
=======================================
Few labels: one to five texts per class
=======================================

A bank wants to route the questions of its customers to 77 topics, and has only a few labeled
questions of each. TF-IDF learns each word from these few texts. A pretrained model knows most words
already. How much is that worth, and how many labels does it save?
"""

# %%
# Questions and topics
# --------------------
#
# BANKING77, with five texts per topic for training and 500 texts for testing.

import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import BertClassifier, BertEmbedder

questions = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
is_train = questions["part"] == "train"
train, test = questions[is_train], questions[~is_train]
print(f"{len(train)} training texts, {len(test)} test texts")
shown = train.drop_duplicates("category")[["category", "text"]].head(4)
print(shown.to_string(index=False, max_colwidth=48))

# %%
# Three classifiers
# -----------------
#
# A logistic regression on TF-IDF, the same on the vectors of `BertEmbedder`, and `BertClassifier`
# with ``label_texts="auto"``, which also learns from the names of the topics:
# "lost_or_stolen_card" is one more text of its topic. ``max_epochs=0`` trains the last layer only,
# in two seconds. Without it the whole model is fine-tuned.

classifiers = {
    "TF-IDF": make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)
    ),
    "BertEmbedder": make_pipeline(
        BertEmbedder(normalize=True), LogisticRegression(C=10)
    ),
    "with topic names": BertClassifier(max_epochs=0, label_texts="auto"),
}
# With one text per class, scikit-learn asks whether these are classes at all.
warnings.filterwarnings("ignore", message="The number of unique classes")

n_texts = [1, 2, 3, 5]
accuracy = pd.DataFrame(index=pd.Index(n_texts, name="texts per topic"))
for name, classifier in classifiers.items():
    for n in n_texts:
        few = train.groupby("category").head(n)
        classifier.fit(few["text"], few["category"])
        accuracy.loc[n, name] = classifier.score(
            test["text"], test["category"]
        )
print(accuracy.round(2).to_string())

# %%
# Accuracy and labels
# -------------------
#
# With one text per topic, the topic names are worth as much as a second text. With five texts per
# topic, TF-IDF is still below the pretrained model with two.

ax = accuracy.plot(
    marker="o", linewidth=2.5, figsize=(6, 4.5), ylim=(0, 1), xticks=n_texts
)
ax.set_xlabel("labeled texts per topic", fontsize=13)
ax.set_ylabel("accuracy, 77 topics", fontsize=13)
ax.legend(fontsize=13)
ax.figure.set_layout_engine("constrained")
plt.show()
