"""
======================================
Stacking: remarks, codes and numbers
======================================

Text and other columns can meet in one `ColumnTransformer`, or each can have a model of its own,
whose predictions a last model weighs. That is stacking. It suits models that want different tables
of features: trees for codes and numbers, linear models for words and for vectors.
"""

# %%
# The table
# ---------
#
# Did a bird strike have an effect on the flight? Reports to the US Federal Aviation Administration
# hold codes, numbers and hasty remarks, and one in seven has no remarks.

import sys
from pathlib import Path

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

CODES = ["operator", "atype", "phase_of_flt", "time_of_day", "state", "sky", "species"]
NUMBERS = ["ac_mass", "num_engs", "height", "speed"]
table = pd.read_csv(Path(sys.argv[0]).resolve().parents[1] / "data" / "faa_wildlife.csv")
table["remarks"] = table["remarks"].fillna("")  # TF-IDF wants texts
table = table.sample(2400, random_state=0)
had_effect = table.pop("effect").notna()
X_train, X_test, y_train, y_test = train_test_split(
    table, had_effect, test_size=800, stratify=had_effect, random_state=0
)
print(f"{had_effect.mean():.0%} of {len(table)} strikes had an effect. Some remarks:")
remarks = X_train.loc[X_train["remarks"] != "", ["remarks"]]
print(remarks.head(4).to_string(index=False, header=False, max_colwidth=70))

# %%
# Three models, and one above them
# --------------------------------
#
# Each model picks its columns with a `ColumnTransformer` of its own; the stack passes whole rows
# on. Effects are rare, so the classes are balanced.


def linear():
    return LogisticRegression(C=3, class_weight="balanced", max_iter=1000)


encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=20)
models = {
    "columns": make_pipeline(
        make_column_transformer((encode, CODES), ("passthrough", NUMBERS)),
        HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, random_state=0),
    ),
    "words": make_pipeline(
        make_column_transformer((TfidfVectorizer(sublinear_tf=True), "remarks")), linear()
    ),
    "BERT": make_pipeline(
        make_column_transformer((BertEmbedder(normalize=True), "remarks")), linear()
    ),
}
stack = StackingClassifier(list(models.items()), linear(), cv=3, stack_method="predict_proba")
stack.fit(X_train, y_train)

# %%
# Scores on other strikes
# -----------------------
#
# The area under the ROC curve: how often a strike with an effect is ranked above one without.
# Remarks tell more than codes and numbers. Words and vectors are about equally good, and see
# different things, so that the three together are better than the best of them.

scorers = {name: stack.named_estimators_[name] for name in models} | {"all three": stack}
scores = {
    name: roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
    for name, model in scorers.items()
}
for name, score in scores.items():
    print(f"{name:9} {score:.3f}")

figure, ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()), color=["C7", "C7", "C7", "C0"])
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.invert_yaxis()
ax.set_xlim(0.5, 1)
ax.set_xlabel("area under the ROC curve, 800 strikes that no model saw")
plt.show()
