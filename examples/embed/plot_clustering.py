"""
====================================
Clusters of texts, and a map of them
====================================

Questions without labels: k-means on their vectors finds groups of the same topic, t-SNE draws them
in two dimensions. The topics are known here, and only used to see how well the groups fit.
"""

# %%
# Questions to a bank
# -------------------

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score

from skbert import BertEmbedder
from skbert.display import EmbeddingDisplay

TOPICS = [
    "exchange_rate",
    "change_pin",
    "lost_or_stolen_card",
    "age_limit",
    "verify_my_identity",
    "apple_pay_or_google_pay",
    "request_refund",
    "receiving_money",
    "edit_personal_details",
    "terminate_account",
]
table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "banking77_few.csv"
)
table = table[table["category"].isin(TOPICS)]
texts, topics = table["text"], table["category"].str.replace("_", " ")
print(f"{len(texts)} questions, for example")
print(
    texts.groupby(topics).first().head(4).to_string(index=False, header=False)
)

# %%
# Groups
# ------
#
# The adjusted Rand index compares the groups with the topics: it is 1 if they are the same, and
# about 0 by chance. Few questions of a topic share words, so TF-IDF finds little.

for name, encoder in {
    "TF-IDF": TfidfVectorizer(),
    "BERT": BertEmbedder(normalize=True),
}.items():
    vectors = encoder.fit_transform(texts)
    clusters = KMeans(len(TOPICS), n_init=20, random_state=0).fit_predict(
        vectors
    )
    score = adjusted_rand_score(topics, clusters)
    print(f"{name:7} adjusted Rand index {score:.2f}")

# %%
# The map
# -------
#
# `EmbeddingDisplay` draws one point per text, here with the vectors of BERT. t-SNE keeps neighbors
# near each other; distances between far groups mean nothing.

display = EmbeddingDisplay.from_vectors(
    vectors, topics, reducer=TSNE(perplexity=12, random_state=0), s=70
)
display.ax_.set(xticks=[], yticks=[])
plt.show()
