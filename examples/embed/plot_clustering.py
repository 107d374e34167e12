"""
====================================
Clusters of texts, and a map of them
====================================

Texts without labels: k-means on their vectors finds groups, t-SNE draws them in two dimensions. We
know the topics here, and only use them to see how well the groups fit.
"""

# %%
# Headlines
# ---------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score

from skbert import BertEmbedder

TOPICS = {
    "sport": """
        Late goal wins the cup; Runner breaks the record; Coach leaves the club; Striker is
        injured; Tennis star retires; Rain stops the match; Swimmers take gold; Home team loses""",
    "weather": """
        Heavy snow in the north; A hot week ahead; Storm on the coast; Fog in the valleys; Floods
        after days of rain; Frost kills the blossom; Drought dries the rivers; Mild days""",
    "science": """
        Telescope finds a planet; New vaccine tested; Fossil of a bird found; Chemists make
        plastic from wood; Cells grown in a dish; Robot learns to walk; A gene for sleep; Probe
        lands on Mars""",
    "money": """
        Shares fall sharply; Bank raises rates; Oil gets cheaper; Two carmakers merge; Rents rise
        again; Unemployment falls; Euro gains on the dollar; Tax on sugar planned""",
    "culture": """
        Museum shows lost painting; Novel wins a prize; Festival opens with jazz; Actor dies at
        ninety; Opera house reopens; A film about bees; Poet reads in the park; Band on tour""",
}
texts = [" ".join(text.split()) for topic in TOPICS.values() for text in topic.split(";")]
topics = np.repeat(np.arange(len(TOPICS)), len(texts) // len(TOPICS))

# %%
# Groups
# ------
#
# The adjusted Rand index compares groups with topics: 1 if they are the same, about 0 by chance.

clusters = {}
for name, encoder in {"TF-IDF": TfidfVectorizer(), "BERT": BertEmbedder(normalize=True)}.items():
    vectors = encoder.fit_transform(texts)
    clusters[name] = KMeans(len(TOPICS), n_init=20, random_state=0).fit_predict(vectors)
    print(f"{name:7} adjusted Rand index {adjusted_rand_score(topics, clusters[name]):.2f}")

# %%
# The map
# -------
#
# Colours are topics, shapes the groups that k-means found. t-SNE keeps neighbours near each other;
# the distances between far groups mean nothing.

places = TSNE(perplexity=8, random_state=0).fit_transform(vectors)

figure, ax = plt.subplots(figsize=(8, 5.4), layout="constrained")
for number, topic in enumerate(TOPICS):
    for cluster, marker in enumerate("os^Dv"):
        shown = (topics == number) & (clusters["BERT"] == cluster)
        ax.scatter(*places[shown].T, color=f"C{number}", marker=marker, s=60)
    ax.scatter([], [], color=f"C{number}", s=60, label=topic)
    first = np.flatnonzero(topics == number)[0]
    side = "right" if places[first, 0] > places[:, 0].mean() else "left"
    label = {"textcoords": "offset points", "fontsize": 9, "ha": side}
    ax.annotate(texts[first], places[first], xytext=(0, 8), **label)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="topic")
ax.set(xticks=[], yticks=[])
plt.show()
