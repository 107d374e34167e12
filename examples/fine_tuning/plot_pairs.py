"""
==============================================
Pairs of texts: does this answer the question?
==============================================

Does a sentence answer a question? A classifier of pairs reads both at once, so that the words of
one can ask for those of the other. The usual alternative compares two vectors that were made
apart. Both are tried here, on questions written for this page.
"""

# %%
# Questions and answers
# ---------------------
#
# Four kinds of question, each with two wordings, about sixteen things. To each question belong a
# sentence that answers it, and one about the same thing that answers another question.

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
    "place": ["Where was the {} found?", "In which place is the {} now?"],
    "time": ["When was the {} found?", "On what day was the {} sold?"],
    "person": ["Who found the {}?", "Whose {} is this?"],
    "price": ["How much does the {} cost?", "What did they pay for the {}?"],
}
SENTENCES = {
    "place": ["The {} was found in Leeds.", "The {} is in a barn near Arles.", "It lay in a lake."],
    "time": ["The {} was found on Friday.", "The {} was sold in May.", "That was in 1902."],
    "person": ["A diver found the {}.", "The {} is my aunt's.", "Tom and his brother did."],
    "price": ["The {} costs nine pounds.", "It was sold for 40 euros.", "The {} was cheap: $2."],
}

generator = np.random.default_rng(0)
rows = []
for thing in THINGS:
    for kind, wordings in QUESTIONS.items():
        other = generator.choice([name for name in SENTENCES if name != kind])
        for wording in wordings:
            for of_kind in (kind, other):
                sentence = generator.choice(SENTENCES[of_kind])
                rows.append((wording.format(thing), sentence.format(thing), of_kind == kind))
pairs = pd.DataFrame(rows, columns=["question", "sentence", "answers"])
print(len(pairs), "pairs, for example")
print(pairs.head(4).to_string(index=False))

# %%
# Two ways
# --------
#
# The frozen model: the cosine of the two vectors, which needs no training. The trained one:
# `BertClassifier` on two columns. It learns from ten of the things and is tested on six others.

n_train = 10 * len(pairs) // len(THINGS)
train, test = pairs.iloc[:n_train], pairs.iloc[n_train:]

embedder = BertEmbedder(normalize=True).fit(test["question"])
vectors = embedder.transform(test["question"]), embedder.transform(test["sentence"])
cosine = np.sum(vectors[0] * vectors[1], axis=1)

classifier = BertClassifier(min_steps=90, learning_rate=3e-4, random_state=0)
classifier.fit(train[["question", "sentence"]], train["answers"])
probability = classifier.predict_proba(test[["question", "sentence"]])[:, 1]

# %%
# How often is an answer ranked above a sentence that is none?

print(f"cosine of frozen vectors  {roc_auc_score(test['answers'], cosine):.2f}")
print(f"classifier of pairs       {roc_auc_score(test['answers'], probability):.2f}")

figure, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
for answers, name in [(False, "does not answer"), (True, "answers")]:
    shown = test["answers"] == answers
    ax.scatter(cosine[shown], probability[shown], alpha=0.7, label=name)
ax.set(
    xlabel="cosine of the two vectors", ylabel="probability, trained on pairs", ylim=(-0.05, 1.05)
)
ax.legend(loc="center left")
plt.show()

# %%
# The cosine says how near two texts are in topic, and here both sentences are on the question's
# topic. What makes an answer is that "where" wants a place; a classifier of pairs can learn that.
# The sentences of this page have few wordings, so it is an easy test: real questions ask more.
