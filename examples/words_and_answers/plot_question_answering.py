"""
================================
Answers to questions from a text
================================

`BertQuestionAnswerer` finds the answer to a question in a text, and returns an exact slice of it.
Here it learns from 39 questions that were written for this page. The default model was never
trained to answer questions. For real use, load a model that was
(``BertQuestionAnswerer.from_pretrained``), or train on thousands of questions.
"""

# %%
# Questions, contexts, answers
# ----------------------------
#
# Each text, the context, has three questions. The contexts of the test are not in the training.

import matplotlib.pyplot as plt
import pandas as pd

from skbert import BertQuestionAnswerer

TEXTS = """
The old mill stands by the river. It was built in 1820 by Tom Reed. Today it
is a museum.
Where does the mill stand? = by the river
When was the mill built? = in 1820
Who built the mill? = Tom Reed

Rosa runs a bakery in Leeds. She opens at six. Her rye bread costs four
pounds.
Who runs a bakery? = Rosa
When does she open? = at six
What does her bread cost? = four pounds

The concert is in the town hall. Tickets cost ten euros. Nina Berg plays the
piano on Friday.
Where is the concert? = in the town hall
What do tickets cost? = ten euros
Who plays the piano? = Nina Berg

In 1911 a fire destroyed the library. Anna Lee saved the maps. They are now
kept in Oxford.
When did a fire destroy the library? = In 1911
Who saved the maps? = Anna Lee
Where are the maps kept? = in Oxford

Max found a ring in the lake. He sold it for 90 dollars. The buyer was
Doctor Hill.
Who found a ring? = Max
Where was the ring? = in the lake
What did he get for it? = 90 dollars

The ferry leaves at noon from the west pier. Captain Moss steers it. A
ticket is three pounds.
When does the ferry leave? = at noon
From where does the ferry leave? = the west pier
Who steers it? = Captain Moss

Eva Stone painted the picture in a barn. That was in 1930. It was bought by
a bank.
Who painted the picture? = Eva Stone
Where was the picture painted? = in a barn
When was that? = in 1930

The shop in Park Lane closes at seven. Mr Ito repairs clocks there. A repair
costs 20 pounds.
When does the shop close? = at seven
Who repairs clocks? = Mr Ito
What does a repair cost? = 20 pounds

Lena swims in the sea every morning. Her coach is Paul King. The race is on
Sunday.
Where does Lena swim? = in the sea
Who is her coach? = Paul King
When is the race? = on Sunday

A storm sank the boat near Cork. Six men were saved by Jack Dunn. It
happened in March.
Where did the boat sink? = near Cork
Who saved six men? = Jack Dunn
When did it happen? = in March

The bell was cast in Ghent. It weighs nine tons. Brother Luke rings it at
dawn.
Where was the bell cast? = in Ghent
Who rings the bell? = Brother Luke
When is it rung? = at dawn

Our school has a garden behind the gym. Mrs Park planted it in April. The
seeds cost 30 euros.
Where is the garden? = behind the gym
Who planted the garden? = Mrs Park
When was it planted? = in April

The tower in Bath was hit by lightning in June. Nobody was hurt. Liam Shaw
repairs it now.
Where is the tower? = in Bath
When was the tower hit? = in June
Who repairs it? = Liam Shaw

The bridge in Dale was closed on Monday. Ice had broken a pillar. Sam Young
will mend it.
When was the bridge closed? = on Monday
Who will mend the bridge? = Sam Young
Where is the bridge? = in Dale

Ben bought a violin in Prague. It was made in 1790. He paid 800 dollars.
Who bought a violin? = Ben
Where did he buy it? = in Prague
When was it made? = in 1790

The market is on the green every Saturday. Olga sells honey there. A jar is
five pounds.
Where is the market? = on the green
Who sells honey? = Olga
What does a jar cost? = five pounds
"""
rows = []
for block in TEXTS.strip().split("\n\n"):
    lines = block.splitlines()
    context = " ".join(line for line in lines if " = " not in line)
    rows += [(*line.split(" = "), context) for line in lines if " = " in line]
table = pd.DataFrame(rows, columns=["question", "answer", "context"])
train, test = table.iloc[:39], table.iloc[39:]
print(train.head(3).to_string(index=False, max_colwidth=36))

# %%
# Training
# --------
#
# The answers are short. ``max_answer_length=8`` says so: longer slices, of more than eight tokens,
# are never returned.

columns = ["question", "context"]
answerer = BertQuestionAnswerer(
    max_answer_length=8,
    min_steps=75,
    learning_rate=4e-4,
    train_batch_size=12,
    random_state=0,
)
answerer.fit(train[columns], train["answer"])
results = test.assign(predicted=answerer.predict(test[columns]))
print(results[["question", "answer", "predicted"]].to_string(index=False))
share = answerer.exact_match(test[columns], test["answer"])
print(f"\nexactly right: {share:.0%} of {len(test)}")

# %%
# Several answers
# ---------------
#
# ``predict_answers`` returns the best answers, each with its characters in the context and a score.
# The score is the share of the probability among all slices of the context. It does not say that
# the context holds an answer at all: a wrong slice without rivals has a high score, too.

question = test.iloc[[1]]
answers = answerer.predict_answers(question[columns], n_best=4)[0]
for answer in answers:
    print(
        f"{answer.score:.3f} {answer.start:>3}-{answer.end:<3} {answer.text}"
    )

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
ax.barh(
    [answer.text for answer in answers], [answer.score for answer in answers]
)
ax.invert_yaxis()
ax.tick_params(labelsize=13)
ax.set_xlabel("score", fontsize=13)
ax.set_title(question["question"].item(), fontsize=14)
plt.show()
