"""
=====================================
Token vectors: one word, two meanings
=====================================

With ``pooling=None``, `BertEmbedder` gives one vector a token. A token's vector depends on the
words around it, more so in each layer. We watch the word "bank" change.
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
# The rows of `inspect_tokens` line up with the arrays of token vectors.

tokens = inspect_tokens(texts)
print(tokens[tokens["text"] == 0][["token", "id", "start", "end"]].to_string(index=False))
positions = tokens.groupby("text")["token"].apply(lambda column: list(column).index("bank"))

# %%
# From layer to layer
# -------------------
#
# Layer 0 are the input embeddings: the word's own vector and that of its position, no neighbours.

n_money = len(SENTENCES["money"])
means = []
for layer in range(7):
    vectors = BertEmbedder(pooling=None, layers=layer, normalize=True).fit_transform(texts)
    banks = np.array([of_text[at] for of_text, at in zip(vectors, positions, strict=True)])
    cosines = banks @ banks.T
    others = ~np.eye(n_money, dtype=bool)
    same = [cosines[:n_money, :n_money][others], cosines[n_money:, n_money:][others]]
    means.append((np.mean(same), cosines[:n_money, n_money:].mean()))

table = pd.DataFrame(means, columns=["same meaning", "other meaning"])
print(table.round(2).to_string(index_names=False))

figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
table.plot(ax=ax, marker="o", xlabel="layer", ylabel='mean cosine of two "bank"s', ylim=(0.7, 1))
plt.show()

# %%
# At the input a bank is a bank. After six layers, two banks of one meaning are nearer to each other
# than two of different meanings: the vectors have taken up what surrounds them.
