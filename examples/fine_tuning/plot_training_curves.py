"""
==========================================
Fine-tune a classifier and read its curves
==========================================

`BertClassifier` trains all weights of the pretrained model. `TrainingCurveDisplay` shows the loss
and the score of each epoch. They tell whether the training was long enough, or too long.
"""

# %%
# Texts and labels
# ----------------
#
# What is a work of art made of? The Tate describes it in free words. We sort 240 descriptions into
# six groups; the labels come from a list of words.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import train_test_split

from skbert import BertClassifier
from skbert.display import TrainingCurveDisplay

GROUPS = {  # the last that is found counts
    "paper": "on paper",
    "painting": "^(?:oil|acrylic|gouache|watercolour|tempera|enamel)",
    "print": "etching|screenprint|lithograph|woodcut|linocut|drypoint|"
    "aquatint|mezzotint|relief|prints?\\b",
    "photograph": "photograph|polaroid",
    "moving image": "video|film|projection|slide",
}
table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "tate_text.csv"
)
texts = table["medium"].drop_duplicates()
labels = pd.Series("object", index=texts.index)
for group, words in GROUPS.items():
    labels[texts.str.lower().str.contains(words)] = group
X_train, X_test, y_train, y_test = train_test_split(
    texts,
    labels,
    train_size=240,
    test_size=300,
    stratify=labels,
    random_state=0,
)
print(X_train.groupby(y_train).first().to_string())

# %%
# Training
# --------
#
# ``early_stopping=True`` holds out a part of the texts, scores them after each epoch, and keeps the
# weights of the best epoch. ``n_epochs_no_change`` is as large as ``max_epochs`` here, so that we
# see what happens after it. ``min_steps=0`` trains for these epochs only. By default, training
# starts from a good last layer; ``init="random"`` starts from nothing, which makes the curves
# easier to read.

classifier = BertClassifier(
    init="random",
    max_epochs=8,
    min_steps=0,
    learning_rate=2e-4,
    early_stopping=True,
    validation_fraction=0.25,
    n_epochs_no_change=8,
    random_state=0,
)
classifier.fit(X_train, y_train)
print(f"Accuracy on held-out texts: {classifier.score(X_test, y_test):.3f}")

# %%
# The curves
# ----------
#
# While the loss on held-out texts falls together with that of the training texts, the model learns
# what holds for other texts, too. Where it stays flat or rises, the model begins to memorize the
# training texts. The dotted line marks the epoch whose weights were kept.

TrainingCurveDisplay.from_estimator(classifier)
plt.show()
print(
    pd.DataFrame(classifier.history_)
    .drop(columns="learning_rate")
    .round(3)
    .to_string(index=False)
)
