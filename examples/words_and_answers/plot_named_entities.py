"""
==================================
Named entities: persons and places
==================================

`BertTokenClassifier` gives each word a label. Here it learns to find persons and places from forty
sentences that were written for this page. That is enough to see how it works; real use needs
hundreds of sentences or more.
"""

# %%
# Sentences
# ---------
#
# The labels follow the IOB2 scheme: ``B-PER`` is the first word of a person, ``I-PER`` a further
# one, and ``O`` is not a name. Brackets are quicker to write, so a function turns them into labels.

import re

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skbert import BertTokenClassifier

SENTENCES = """
[PER Ada Lovelace] lived in [LOC London] .
Yesterday [PER Max] flew to [LOC Paris] .
The train from [LOC Rome] was late again .
I met [PER Nina Simone] in [LOC New York] .
[PER Carl] and [PER Eva] study in [LOC Berlin] .
It rained all day in [LOC Hamburg] .
Have you seen [PER Mrs Brown] today ?
[LOC Norway] is cold , said [PER Peter] .
The museum in [LOC Vienna] is closed .
[PER Marie Curie] was born in [LOC Warsaw] .
My brother [PER Tom] lives near [LOC Oxford] .
We drove through [LOC Spain] and [LOC Portugal] .
[PER Anna] wrote to [PER Paul] from [LOC Cairo] .
The best bread is from [LOC Naples] .
Who is [PER John Smith] ?
[PER Lucy] left [LOC Dublin] in May .
The river flows to [LOC Cologne] .
Doctor [PER Miller] works in [LOC Chicago] .
They play chess in the park .
[LOC Tokyo] is larger than [LOC Madrid] .
[PER Olga Petrova] sings tonight .
Please call [PER David] at noon .
The road to [LOC Delhi] is long .
[PER Hans] sold his house in [LOC Zurich] .
Nobody was at home .
[PER Emma Stone] is staying in [LOC Los Angeles] .
Ships from [LOC Lisbon] arrive at night .
I gave the book to [PER Sarah] .
[PER Leo] comes from [LOC Brazil] .
[LOC Athens] was hot this summer .
The letter is for [PER George Hill] .
[PER Clara] walked from [LOC Bonn] to [LOC Mainz] .
He has never been to [LOC China] .
[PER Martin] , [PER Julia] and [PER Simon] are late .
Lunch is at one .
The mayor of [LOC Boston] met [PER Ruth King] .
[LOC Canada] has many lakes .
Is [PER Henry] still in [LOC Prague] ?
The film about [PER Frida Kahlo] was shot in [LOC Mexico] .
[PER Alice] knows [LOC Sweden] well .
"""


def words_and_labels(sentence):
    words, labels = [], []
    for kind, name, word in re.findall(r"\[(\w+) ([^]]+)\]|(\S+)", sentence):
        parts = name.split() or [word]
        words += parts
        labels += [
            f"{'I' if n else 'B'}-{kind}" if kind else "O"
            for n in range(len(parts))
        ]
    return words, labels


X, y = zip(*map(words_and_labels, SENTENCES.strip().splitlines()), strict=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=10, random_state=0
)
print(*zip(X[0], y[0], strict=True), sep="\n")

# %%
# Training
# --------

tagger = BertTokenClassifier(min_steps=70, learning_rate=3e-4, random_state=0)
tagger.fit(X_train, y_train)
score = tagger.score(X_test, y_test)
print(f"{tagger.metric_} on ten held-out sentences: {score:.2f}")

# %%
# Plain texts
# -----------
#
# ``predict_entities`` splits texts into words by itself. Each entity is an exact slice of its text.

text = "In May, Ella Brown flew from Madrid to Bergen."
for entity in tagger.predict_entities([text])[0]:
    place = f"{entity.start:>3}-{entity.end:<3}"
    print(f"{entity.label} {place} {entity.score:.2f} {entity.text!r}")

# %%
# How sure is it?
# ---------------
#
# ``predict_proba`` gives one row per word. The picture has one column per word:

words = [
    "In",
    "May",
    ",",
    "Ella",
    "Brown",
    "flew",
    "from",
    "Madrid",
    "to",
    "Bergen",
    ".",
]
probabilities = tagger.predict_proba([words])[0]

figure, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
picture = ax.imshow(
    probabilities.T, cmap="Blues", vmin=0, vmax=1, aspect="auto"
)
ax.set_xticks(range(len(words)), words, fontsize=13, rotation=60)
ax.set_yticks(range(len(tagger.classes_)), tagger.classes_, fontsize=13)
figure.colorbar(picture, label="probability")
plt.show()
