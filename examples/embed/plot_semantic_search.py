"""
=======================================
Semantic search with nearest neighbors
=======================================

Which help text of a shop answers a customer's question? Word search finds texts that share words
with the question. Vector search finds texts with a similar meaning. Both are a vectorizer and
scikit-learn's `NearestNeighbors`.
"""

# %%
# Documents and questions
# -----------------------
#
# Each question is answered by the document of the same number, in other words.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from skbert import BertEmbedder

DOCUMENTS = [
    "To reset your password, use the link on the sign-in page.",
    "Parcels arrive within three working days.",
    "You can return any item within 30 days.",
    "We accept credit cards and bank transfer.",
    "Our shop is open from Monday to Saturday.",
    "Gift vouchers are valid for two years.",
    "Damaged goods are replaced free of charge.",
    "You can cancel your subscription at any time.",
    "Students get ten percent off.",
    "To change your address, open your profile.",
    "Invoices are sent by email.",
    "We ship to all countries of the European Union.",
]
QUESTIONS = [
    "I can't log in any more, what do I do?",
    "How long does delivery take?",
    "I don't like the shoes, may I send them back?",
    "How can I pay?",
    "Can I come by on a Sunday?",
    "When does my present card expire?",
    "The cup came broken.",
    "I want to quit my membership.",
    "Is there a discount for pupils?",
    "I have moved to another city.",
    "Where do I get the bill?",
    "Do you deliver to Portugal?",
]

# %%
# The index
# ---------
#
# Both vectorizers give vectors of length 1, so the nearest rows are those with the largest cosine.

wanted = np.arange(len(QUESTIONS))
ranks = {}
encoders = {
    "words (TF-IDF)": TfidfVectorizer(),
    "meaning (BERT)": BertEmbedder(normalize=True),
}
for name, encoder in encoders.items():
    index = NearestNeighbors(n_neighbors=len(DOCUMENTS), metric="cosine")
    index.fit(encoder.fit_transform(DOCUMENTS))
    found = index.kneighbors(
        encoder.transform(QUESTIONS), return_distance=False
    )
    ranks[name] = 1 + (found == wanted[:, None]).argmax(axis=1)
    first = np.count_nonzero(ranks[name] == 1)
    print(f"{name}: right document first for {first} of {len(QUESTIONS)}")

# %%
# The rank of the right document
# ------------------------------
#
# Rank 1 is the best. Documents that share no word with the question have the same distance in word
# search, and follow in any order.

figure, ax = plt.subplots(figsize=(7.5, 5.6), layout="constrained")
for name, marker, size in zip(ranks, "XD", (70, 150), strict=True):
    ax.scatter(
        ranks[name], wanted, marker=marker, s=size, zorder=-size, label=name
    )
ax.set_yticks(wanted, QUESTIONS, fontsize=11)
ax.set_xticks(range(1, len(DOCUMENTS) + 1))
ax.invert_yaxis()
ax.grid(axis="y", alpha=0.4)
ax.set_xlabel("rank of the right document", fontsize=13)
figure.legend(loc="outside upper right", ncols=2, fontsize=13)
plt.show()

# %%
# The same for a new question: the three best documents, with their cosines.

index = NearestNeighbors(n_neighbors=3, metric="cosine")
index.fit(encoder.transform(DOCUMENTS))
question = "Nobody answers at the store. Are you closed today?"
distances, found = index.kneighbors(encoder.transform([question]))
print(question)
for distance, row in zip(distances[0], found[0], strict=True):
    print(f"{1 - distance:.2f} {DOCUMENTS[row]}")
