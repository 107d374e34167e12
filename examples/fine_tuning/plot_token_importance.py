"""
===================
Which words decide?
===================

A fine-tuned model sorts a question into a topic. `TokenImportanceDisplay` colors the words that its
decision depends on.
"""

# %%
# Fine-tune a classifier
# ----------------------
#
# Six topics of questions to a bank that share most of their words, with five training texts each.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from skbert import BertClassifier
from skbert.display import TokenImportanceDisplay

TOPICS = [
    "lost_or_stolen_card",
    "card_not_working",
    "declined_card_payment",
    "card_arrival",
    "contactless_not_working",
    "card_swallowed",
]
table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
table = table[table["category"].isin(TOPICS)]
is_train = table["part"] == "train"
train, test = table[is_train], table[~is_train]

classifier = BertClassifier(min_steps=40, random_state=0).fit(
    train["text"], train["category"]
)
accuracy = classifier.score(test["text"], test["category"])
print(f"accuracy on {len(test)} test texts: {accuracy:.0%}")

# %%
# One prediction
# --------------
#
# Red words speak for the predicted topic, blue words against it. The importances are integrated
# gradients: they sum to the change of the output (the logit of the topic) from a text without words
# to this text.

text = "I ordered a new card two weeks ago, and it is still not in the mail."
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
display = TokenImportanceDisplay.from_estimator(
    classifier, [text], ax=ax, fontsize=28
)
plt.show()

# %%
# Another topic
# -------------
#
# ``target`` chooses the topic. What in this text speaks for a lost card?

TokenImportanceDisplay.from_estimator(
    classifier, [text], target="lost_or_stolen_card", fontsize=20
)
plt.show()

# %%
# The numbers
# -----------

words = pd.Series(
    display.word_importances,
    [text[word.start : word.end] for word in display.words],
)
print(words.sort_values(ascending=False).round(2).head(6).to_string())
