"""
==============================================
Pairs of texts: does this answer the question?
==============================================

`BertClassifier` also classifies pairs of texts, in two columns of a frame. Here: does the sentence
answer the question? Similar vectors are not enough for that: a sentence can be about the same thing
and answer another question.
"""

# %%
# Questions and answers
# ---------------------
#
# Four kinds of questions about sixteen things, written for this page. For each question there is a
# sentence that answers it, and one about the same thing that does not. The test has other things,
# other wordings of the questions and other sentences than the training.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from skbert import BertClassifier, BertEmbedder

THINGS = (
    "ring clock violin map painting bicycle lamp letter "
    "statue carpet camera boat piano vase mirror desk"
).split()
QUESTIONS = {
    "place": [
        "Where was the {} found?",
        "In which town is the {} now?",
        "Where can I see the {}?",
    ],
    "time": [
        "When was the {} found?",
        "On what day was it sold?",
        "How long ago was it lost?",
    ],
    "person": [
        "Who found the {}?",
        "Whose {} is this?",
        "To whom does the {} belong?",
    ],
    "price": [
        "How much is the {}?",
        "What did they pay for the {}?",
        "Is the {} expensive?",
    ],
}
SENTENCES = {
    "place": """
        The {} was found in Leeds.; The {} is in a barn near Arles.; It lay at
        the bottom of a lake.; The {} is on show in the town hall of Ghent.;
        They keep the {} in the attic.""",
    "time": """
        The {} was found on Friday.; The {} was sold in May.; That was in
        1902.; The {} was lost three years ago.; It happened on the first day
        of spring.""",
    "person": """
        A diver found the {}.; The {} is my aunt's.; Tom and his brother did.;
        The {} belongs to Doctor Hill.; The old teacher owns it.""",
    "price": """
        The {} costs nine pounds.; It was sold for 40 euros.; The {} was
        cheap: two dollars.; They paid a fortune for the {}.; The {} is worth
        500 crowns.""",
}


def make_pairs(things, questions, sentences, generator):
    rows = []
    for thing in things:
        for kind in QUESTIONS:
            other = generator.choice(
                [name for name in SENTENCES if name != kind]
            )
            for question in QUESTIONS[kind][questions]:
                for of_kind in (kind, other):
                    known = SENTENCES[of_kind].split(";")[sentences]
                    sentence = " ".join(generator.choice(known).split())
                    rows.append(
                        (
                            question.format(thing),
                            sentence.format(thing),
                            of_kind == kind,
                        )
                    )
    return pd.DataFrame(rows, columns=["question", "sentence", "answers"])


generator = np.random.default_rng(0)
train = make_pairs(THINGS[:10], slice(0, 2), slice(0, 3), generator)
test = make_pairs(THINGS[10:], slice(2, 3), slice(3, 5), generator)
print(f"{len(train)} training and {len(test)} test pairs, for example")
print(test.head(4).to_string(index=False, max_colwidth=36))

# %%
# Apart or together
# -----------------
#
# The cosine of the two vectors needs no training. `BertClassifier` can read a pair in two ways. A
# cross-encoder reads both texts together. A bi-encoder embeds each text by itself, and learns from
# the two vectors. With ``pair_mode="auto"``, the default, a sentence encoder with at most 500 pairs
# is trained as a bi-encoder.

columns = ["question", "sentence"]
embedder = BertEmbedder(normalize=True).fit(test["question"])
vectors = [embedder.transform(test[column]) for column in columns]
scores = {
    "cosine": roc_auc_score(
        test["answers"], np.sum(vectors[0] * vectors[1], axis=1)
    )
}
for pair_mode in ("cross-encoder", "bi-encoder"):
    classifier = BertClassifier(
        pair_mode=pair_mode, min_steps=60, learning_rate=2e-4, random_state=0
    )
    classifier.fit(train[columns], train["answers"])
    probability = classifier.predict_proba(test[columns])[:, 1]
    scores[pair_mode] = roc_auc_score(test["answers"], probability)

# %%
# The result
# ----------
#
# The area under the ROC curve is the probability that an answer is ranked above a sentence that is
# none; 0.5 is chance. The cosine tells little. From 160 pairs, the bi-encoder learns that "where"
# asks for a place. The cross-encoder first has to learn to compare two texts at all, and needs more
# pairs.

for name, score in scores.items():
    print(f"{name:14} {score:.2f}")

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
bars = ax.bar(list(scores), list(scores.values()), color=["C7", "C0", "C0"])
ax.bar_label(bars, fmt="%.2f", fontsize=14)
ax.tick_params(labelsize=13)
ax.set_ylim(0.5, 1.05)
ax.set_ylabel("area under the ROC curve", fontsize=13)
plt.show()
