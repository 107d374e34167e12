"""
=================================
Stacking: several models of a row
=================================

Texts and other columns can go through one `ColumnTransformer` into one model. Or each has a model
of its own, and a last model combines their predictions: `StackingClassifier`. This suits models
that need different features: trees for codes and numbers, linear models for words and for vectors.
"""

# %%
# The table
# ---------
#
# Did a bird strike have an effect on the flight? Reports to the US Federal Aviation Administration
# have codes, numbers and short remarks.

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skbert import BertEmbedder

CODES = [
    "operator",
    "atype",
    "phase_of_flt",
    "time_of_day",
    "state",
    "sky",
    "species",
]
NUMBERS = ["ac_mass", "num_engs", "height", "speed"]
table = pd.read_csv(
    Path(sys.argv[0]).resolve().parents[1] / "data" / "faa_wildlife.csv"
)
table["remarks"] = table["remarks"].fillna("")  # TF-IDF needs texts
table = table.sample(2400, random_state=0)
had_effect = table.pop("effect").notna()
X_train, X_test, y_train, y_test = train_test_split(
    table, had_effect, test_size=800, stratify=had_effect, random_state=0
)
print(
    f"{len(table)} strikes, {had_effect.mean():.0%} with an effect. Remarks:"
)
for remarks in X_train["remarks"][X_train["remarks"].str.len() > 40].head(4):
    print(" ", " ".join(remarks.split())[:75])

# %%
# Three models, and one above them
# --------------------------------
#
# Each model selects its columns with its own `ColumnTransformer`; the stack passes on whole rows.
# Effects are rare, so the classes are balanced. The stack fits each model four times; with a cache,
# each text is embedded once.


folder = TemporaryDirectory()
embedder = BertEmbedder(
    normalize=True, overflow="windows", cache=Path(folder.name) / "vectors"
)


def linear():
    return LogisticRegression(C=3, class_weight="balanced", max_iter=1000)


encode = OrdinalEncoder(
    handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=20
)
models = {
    "columns": make_pipeline(
        make_column_transformer((encode, CODES), ("passthrough", NUMBERS)),
        HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.05, random_state=0
        ),
    ),
    "words": make_pipeline(
        make_column_transformer(
            (TfidfVectorizer(sublinear_tf=True), "remarks")
        ),
        linear(),
    ),
    "vectors": make_pipeline(
        make_column_transformer((embedder, "remarks")), linear()
    ),
}
stack = StackingClassifier(
    list(models.items()), linear(), cv=3, stack_method="predict_proba"
)
stack.fit(X_train, y_train)

# %%
# Scores on held-out strikes
# --------------------------
#
# The area under the ROC curve is the probability that a strike with an effect is ranked above one
# without. Words and vectors are equally good, but they see different things: TF-IDF knows each
# abbreviation that is frequent, the pretrained model what unusual remarks mean. All models together
# are better than each of them.

scorers = {name: stack.named_estimators_[name] for name in models} | {
    "all three": stack
}
scores = {
    name: roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
    for name, model in scorers.items()
}
for name, score in scores.items():
    print(f"{name:9} {score:.3f}")

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
bars = ax.bar(
    list(scores), list(scores.values()), color=["C7", "C7", "C7", "C0"]
)
ax.bar_label(bars, fmt="%.2f", fontsize=14)
ax.tick_params(labelsize=13)
ax.set_ylim(0.5, 1)
ax.set_ylabel("area under the ROC curve", fontsize=13)
plt.show()
