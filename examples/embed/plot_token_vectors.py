"""
=====================================
Token vectors: one word, two meanings
=====================================

With ``pooling=None``, `BertEmbedder` gives one vector per token. The vector of a token depends on
the words around it. This example compares the vectors of "bank" in six sentences, layer by layer.
"""

# %%
# A word in six sentences
# -----------------------

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skbert import BertEmbedder, inspect_tokens

SENTENCES = {
    "money": [
        "The bank raised its interest rates.",
        "She opened an account at the bank.",
        "My bank charges high fees for loans.",
    ],
    "river": [
        "They sat on the bank of the river.",
        "The bank was covered with reeds and mud.",
        "We pulled the boat up the grassy bank.",
    ],
}
texts = [text for group in SENTENCES.values() for text in group]

# %%
# Where is the token?
# -------------------
#
# `inspect_tokens` has one row for each token vector, in the same order.

tokens = inspect_tokens(texts)
print(
    tokens[tokens["text"] == 0][["token", "id", "start", "end"]].to_string(
        index=False
    )
)
positions = tokens.groupby("text")["token"].apply(
    lambda column: list(column).index("bank")
)

# %%
# From layer to layer
# -------------------
#
# Layer 0 is the input: the vector of the word and that of its position, without its neighbors.

n_money = len(SENTENCES["money"])
means = []
for layer in range(7):
    vectors = BertEmbedder(
        pooling=None, layers=layer, normalize=True
    ).fit_transform(texts)
    banks = np.array(
        [of_text[at] for of_text, at in zip(vectors, positions, strict=True)]
    )
    cosines = banks @ banks.T
    others = ~np.eye(n_money, dtype=bool)
    same = [
        cosines[:n_money, :n_money][others],
        cosines[n_money:, n_money:][others],
    ]
    means.append((np.mean(same), cosines[:n_money, n_money:].mean()))

table = pd.DataFrame(means, columns=["same meaning", "different meanings"])
print(table.round(2).to_string(index_names=False))

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
table.plot(ax=ax, marker="o", linewidth=2.5, ylim=(0.75, 1))
ax.set_xlabel("layer", fontsize=13)
ax.set_ylabel('mean cosine of two "bank"', fontsize=13)
ax.legend(fontsize=13)
plt.show()

# %%
# At the input, all vectors of "bank" are alike. After six layers, two of the same meaning are
# closer than two of different meanings.
