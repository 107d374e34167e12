"""
==========================================
Fine-tune a classifier and read its curves
==========================================

`BertClassifier` trains the BERT itself. Loss and score of each epoch tell whether it learned
enough, too little or too much.
"""

# %%
# Texts and labels
# ----------------
#
# What is a work of art made of? 240 descriptions to learn from, with labels from a list of words.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import train_test_split

from skbert import BertClassifier

GROUPS = {  # the last that is found counts
    "paper": "on paper",
    "painting": "^(?:oil|acrylic|gouache|watercolour|tempera|enamel|household)",
    "print": "etching|screenprint|lithograph|woodcut|linocut|drypoint|aquatint|relief|prints?\\b",
    "photograph": "photograph|polaroid",
    "moving image": "video|film|projection|slide",
}
table = pd.read_csv(Path(sys.argv[0]).resolve().parents[1] / "data" / "tate_text.csv")
texts = table["medium"].drop_duplicates()
labels = pd.Series("object", index=texts.index)
for group, words in GROUPS.items():
    labels[texts.str.lower().str.contains(words)] = group
X_train, X_test, y_train, y_test = train_test_split(
    texts, labels, train_size=240, test_size=300, stratify=labels, random_state=0
)

# %%
# Training
# --------
#
# ``early_stopping=True`` holds a part of the texts out, scores them after each epoch, and keeps the
# weights of the best epoch. ``min_steps=0`` runs just the epochs that we ask for. MiniLM is small:
# it takes a higher learning rate than a BERT of the usual size.

classifier = BertClassifier(
    max_epochs=7,
    min_steps=0,
    learning_rate=3e-4,
    early_stopping=True,
    validation_fraction=0.25,
    n_epochs_no_change=7,
    random_state=0,
)
classifier.fit(X_train, y_train)
print(
    f"{classifier.n_iter_} epochs; accuracy on other texts {classifier.score(X_test, y_test):.3f}"
)

# %%
# The curves
# ----------
#
# While the loss on held-out texts falls with that of the training, the model learns what holds for
# other texts, too. Where it turns up again, it begins to learn the training texts by heart. A loss
# that still falls steeply at the end asks for more epochs.

history = pd.DataFrame(classifier.history_)
print(history.round(5).to_string(index=False))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
history.plot(x="epoch", y=["loss", "validation_loss"], marker="o", ax=left, ylabel="loss")
left.set_ylim(bottom=0)
history.plot(x="epoch", y="validation_score", marker="o", color="tab:green", ax=right)
right.set_ylabel("accuracy on held-out texts")
right.get_legend().remove()
for ax in (left, right):
    ax.set_xticks(history["epoch"])
plt.show()
