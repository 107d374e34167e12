"""The plain model: the numbers of the estimator, with gradients and attention weights."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from skbert import BertEmbedder
from skbert._display.plain_model import plain_model

TEXT = "the cat sat on the mat , unbelievable !"

pytestmark = pytest.mark.usefixtures("one_thread")


def ids_of(estimator) -> torch.Tensor:
    return torch.tensor([estimator._loaded().tokenizer.backend.encode(TEXT).ids])


def test_gives_the_logits_of_the_estimator(film_classifier):
    with torch.no_grad():
        logits = plain_model(film_classifier)(ids_of(film_classifier)).logits[0]
    np.testing.assert_allclose(
        logits[1] - logits[0], film_classifier.decision_function([TEXT])[0], atol=1e-5
    )


@pytest.mark.parametrize("save_weights", [False, True])
def test_gives_the_vectors_of_an_embedder(tiny_bert, save_weights):
    embedder = BertEmbedder(tiny_bert, pooling=None, save_weights=save_weights).fit([TEXT])
    restored = pickle.loads(pickle.dumps(embedder))
    with torch.no_grad():
        vectors = plain_model(restored)(ids_of(restored)).last_hidden_state[0]
    np.testing.assert_allclose(vectors, embedder.transform([TEXT])[0], atol=1e-5)


def test_gradients_reach_the_input_embeddings_only(film_classifier):
    model = plain_model(film_classifier)
    vectors = model.get_input_embeddings()(ids_of(film_classifier)).requires_grad_()
    model(inputs_embeds=vectors).logits[0, 0].backward()
    assert vectors.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_eager_attention_gives_weights_and_the_same_logits(film_classifier):
    ids = ids_of(film_classifier)
    with torch.no_grad():
        output = plain_model(film_classifier, attention="eager")(ids, output_attentions=True)
        expected = plain_model(film_classifier)(ids)
    assert [layer.shape for layer in output.attentions] == [(1, 4, ids.shape[1], ids.shape[1])] * 2
    torch.testing.assert_close(output.logits, expected.logits, atol=1e-5, rtol=0)


def test_leaves_the_estimator_as_it_is(film_classifier):
    before = film_classifier.predict_proba([TEXT])
    plain_model(film_classifier)
    film_classifier._state.verify()
    np.testing.assert_array_equal(film_classifier.predict_proba([TEXT]), before)
