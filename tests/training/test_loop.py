"""The training loop, compared with a plain loop over transformers' own model."""

from __future__ import annotations

import copy
import gc
import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skbert import (
    BertClassifier,
    DeviceError,
    InputError,
    InterruptedTrainingWarning,
    ParameterError,
    TrainingError,
)
from skbert._inference.batching import pad_batch
from skbert._models import encoder as encoder_module
from skbert._models.device import seeded
from skbert._models.encoder import Encoder, make_encoder, read_packed
from skbert._models.loading import load_config, load_model
from skbert._models.tokenizer import load_tokenizer
from skbert._training import loop as training_module
from skbert._training.loop import train
from skbert._training.losses import WeightedRows, cross_entropy
from skbert._training.optimization import Recipe, learning_rate_at, make_optimizer, shuffled_batches
from tests.conftest import WORDS

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")

RECIPE = Recipe(
    max_epochs=3,
    min_steps=0,
    learning_rate=2e-3,
    weight_decay=0.1,
    warmup_fraction=0.2,
    layer_decay=1.0,
    batch_size=4,
    accumulation=1,
    max_grad_norm=0.5,
    patience=2,
    gradient_checkpointing=False,
    seed=7,
)


@pytest.fixture(params=["packed", "padded", "apart"])
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How batches are made: packed, padded, or each length apart (where padding would leak)."""
    if request.param != "packed":
        monkeypatch.setattr(encoder_module, "can_pack", lambda config: False)
    if request.param == "apart":
        monkeypatch.setattr("skbert._models.trials.padding_is_masked", lambda *args: False)


def many_texts(n: int = 22) -> list[str]:
    rng = np.random.default_rng(0)
    # A third of the vocabulary, so that most of the embedding table is not used.
    return [" ".join(rng.choice(WORDS[:24], rng.integers(1, 15))) for _ in range(n)]


def trainable(folder: str, dropout: float = 0.0, n_labels: int = 3) -> Encoder:
    config = load_config(Path(folder))
    config.num_labels = n_labels
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    with seeded(CPU, 0):
        model, _ = load_model(
            Path(folder),
            torch.float32,
            auto_class="AutoModelForSequenceClassification",
            config=config,
        )
    encoder = make_encoder(model, load_tokenizer(Path(folder)), None, CPU, torch.float32)
    read_packed(encoder, first_tokens=True)
    return encoder


def objective_for(n: int, n_labels: int = 3) -> WeightedRows:
    codes = np.random.default_rng(1).integers(0, n_labels, n)
    return WeightedRows(cross_entropy, codes, np.ones(n), CPU)


def run(encoder: Encoder, recipe: Recipe, **options: Any) -> list[dict[str, float]]:
    texts = many_texts()
    encodings = encoder.tokenizer.encode(texts, max_length=32)
    with seeded(CPU, recipe.seed):
        return train(encoder, encodings, objective_for(len(texts)), recipe, **options)


def weights_of(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}


def plain_loop(folder: str, recipe: Recipe) -> dict[str, torch.Tensor]:
    """The same training with transformers' model, padding, torch's AdamW and no shortcut."""
    texts = many_texts()
    encoder = trainable(folder)  # for its tokenizer
    config = load_config(Path(folder))
    config.num_labels = 3
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    with seeded(CPU, 0):
        model, _ = load_model(
            Path(folder),
            torch.float32,
            auto_class="AutoModelForSequenceClassification",
            config=config,
        )
    model.set_attn_implementation("eager")
    model.train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors}],
        weight_decay=0.0,
        fused=False,
        foreach=False,
    )
    encodings = encoder.tokenizer.encode(texts, max_length=32)
    codes = np.random.default_rng(1).integers(0, 3, len(texts))
    n_updates = math.ceil(math.ceil(len(texts) / recipe.batch_size) / recipe.accumulation)
    total, step = n_updates * recipe.max_epochs, 0
    n_warmup = math.ceil(total * recipe.warmup_fraction)
    for epoch in range(1, recipe.max_epochs + 1):
        rng = np.random.default_rng([recipe.seed, epoch])
        batches = list(shuffled_batches(encodings.lengths, recipe.batch_size, rng, group=False))
        for first in range(0, len(batches), recipe.accumulation):
            rows = np.concatenate(batches[first : first + recipe.accumulation])
            batch = pad_batch(encodings, rows, encoder.tokenizer.pad_id)
            logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, torch.from_numpy(codes[rows])).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            rise, fall = (step + 1) / n_warmup, (total - step) / (total - n_warmup)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * (rise if step < n_warmup else fall)
            optimizer.step()
            step += 1
    return model.state_dict()


@pytest.mark.parametrize("accumulation", [1, 2])
def test_weights_equal_those_of_a_plain_loop(tiny_bert, packed, accumulation):
    """Packing, first-token layer, oneDNN, used rows only: all give what the plain loop gives."""
    recipe = replace(RECIPE, accumulation=accumulation)
    encoder = trainable(tiny_bert)
    before = weights_of(encoder)
    run(encoder, recipe)
    expected = plain_loop(tiny_bert, recipe)
    after = encoder.model.state_dict()
    assert after.keys() == expected.keys()
    for name, tensor in expected.items():
        # Adam blows rounding up where a gradient is almost zero; that of the keys' biases, which
        # change no attention, is nothing but rounding.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-4, msg=name)
            assert (after[name] - tensor).abs().mean() < 1e-6, name
    moved = (after["classifier.weight"] - before["classifier.weight"]).abs().max()
    assert moved > 1e-3  # far more than the tolerance


def test_unused_embeddings_only_decay(tiny_bert):
    encoder = trainable(tiny_bert)
    table = "bert.embeddings.word_embeddings.weight"
    before = weights_of(encoder)[table]
    used = np.unique(encoder.tokenizer.encode(many_texts(), max_length=32).ids)
    run(encoder, RECIPE)
    after = encoder.model.state_dict()[table]
    unused = np.setdiff1d(np.arange(len(before)), [*used, encoder.tokenizer.pad_id])
    steps = range(RECIPE.n_epochs(22) * RECIPE.n_updates(22))
    rates = [learning_rate_at(RECIPE, step, len(steps)) for step in steps]
    left = np.prod([1 - rate * RECIPE.weight_decay for rate in rates])
    assert left < 0.999
    torch.testing.assert_close(after[unused], before[unused] * left)


class TestRecipe:
    def test_learning_rate_rises_and_falls(self):
        recipe = replace(RECIPE, learning_rate=1.0, warmup_fraction=0.25)
        rates = [learning_rate_at(recipe, step, 8) for step in range(8)]
        np.testing.assert_allclose(rates, [0.5, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])

    def test_one_step_learns_at_the_full_rate(self):
        assert learning_rate_at(RECIPE, 0, 1) == RECIPE.learning_rate

    @pytest.mark.parametrize(
        ("n", "min_steps", "expected"), [(100, 0, 3), (100, 75, 3), (100, 76, 4), (1, 200, 200)]
    )
    def test_floor_on_steps_adds_epochs(self, n, min_steps, expected):
        assert replace(RECIPE, min_steps=min_steps).n_epochs(n) == expected

    def test_matrices_decay_and_vectors_do_not(self, tiny_bert):
        model = trainable(tiny_bert).model
        optimizer = make_optimizer(model, RECIPE, CPU)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert group["weight_decay"] == (RECIPE.weight_decay if parameter.ndim > 1 else 0)
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(
            list(model.parameters())
        )

    def test_layer_decay(self, tiny_bert):
        model = trainable(tiny_bert).model
        optimizer = make_optimizer(model, replace(RECIPE, layer_decay=0.5), CPU)
        factor_of = {
            parameter: group["lr_factor"]
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        factors = {name: factor_of[parameter] for name, parameter in model.named_parameters()}
        assert factors["classifier.weight"] == factors["bert.pooler.dense.bias"] == 1
        assert factors["bert.encoder.layer.1.output.dense.weight"] == 0.5
        assert factors["bert.encoder.layer.0.output.dense.bias"] == 0.25
        assert factors["bert.embeddings.word_embeddings.weight"] == 0.125


class TestBatches:
    @pytest.mark.parametrize("group", [True, False])
    def test_every_window_once_and_longest_first(self, group):
        lengths = np.random.default_rng(0).integers(2, 60, 403)
        batches = list(shuffled_batches(lengths, 16, np.random.default_rng(1), group=group))
        assert sorted(np.concatenate(batches)) == list(range(403))
        assert sorted(map(len, batches)) == [403 % 16] + [16] * (403 // 16)
        for rows in batches:
            assert (np.diff(lengths[rows]) <= 0).all()

    def test_batches_hold_similar_lengths(self):
        lengths = np.random.default_rng(0).integers(2, 60, 16 * 8 * 64)
        spread = {
            group: np.mean(
                [
                    np.ptp(lengths[rows])
                    for rows in shuffled_batches(lengths, 16, np.random.default_rng(1), group=group)
                ]
            )
            for group in (True, False)
        }
        assert spread[True] < 0.3 * spread[False]

    def test_order_is_not_biased_by_length(self):
        """Long windows come early as often as late."""
        lengths = np.random.default_rng(0).integers(2, 60, 1024)
        positions = np.zeros((200, 1024))
        for seed in range(200):
            rng = np.random.default_rng(seed)
            order = np.concatenate(list(shuffled_batches(lengths, 4, rng, group=True)))
            positions[seed, order] = np.linspace(0, 1, 1024)
        means = positions.mean(0)
        assert means[lengths > 50].mean() == pytest.approx(0.5, abs=0.04)
        assert means[lengths < 12].mean() == pytest.approx(0.5, abs=0.04)

    def test_small_data_has_new_companions_each_time(self):
        """With all texts in one sorted pool, the same ones would always meet."""
        lengths = np.arange(2, 66)
        seen = {
            tuple(sorted(rows))
            for seed in range(5)
            for rows in shuffled_batches(lengths, 16, np.random.default_rng(seed), group=True)
        }
        assert len(seen) == 20


class TestEarlyStopping:
    def scripted(self, encoder: Encoder, scores: list[tuple[float, float]]) -> Any:
        """Give a validation with these results, which keeps the weights it saw."""
        seen: list[dict[str, torch.Tensor]] = []

        def validate() -> tuple[float, float]:
            rows = encoder.model.get_input_embeddings()
            seen.append(
                {**weights_of(encoder), "table": rows.weight.detach().clone()}  # used rows only
            )
            assert not encoder.model.training
            return scores[len(seen) - 1]

        return validate, seen

    def test_best_weights_are_restored(self, tiny_bert):
        encoder = trainable(tiny_bert)
        validate, seen = self.scripted(encoder, [(0.1, 1), (0.5, 1), (0.4, 0.5), (0.5, 1.1)])
        history = run(encoder, replace(RECIPE, max_epochs=9), validate=validate)
        assert [entry["validation_score"] for entry in history] == [0.1, 0.5, 0.4, 0.5]
        after = encoder.model.state_dict()
        assert torch.equal(after["classifier.weight"], seen[1]["classifier.weight"])
        assert not torch.equal(seen[1]["classifier.weight"], seen[3]["classifier.weight"])
        table = after["bert.embeddings.word_embeddings.weight"]
        assert len(table) > len(seen[1]["table"])
        used = np.unique(encoder.tokenizer.encode(many_texts(), max_length=32).ids)
        used = np.union1d(used, [encoder.tokenizer.pad_id])
        assert torch.equal(table[used], seen[1]["table"])

    def test_lower_loss_decides_between_equal_scores(self, tiny_bert):
        encoder = trainable(tiny_bert)
        validate, seen = self.scripted(encoder, [(0.5, 1), (0.5, 0.9), (0.5, 0.9), (0.5, 0.95)])
        history = run(encoder, replace(RECIPE, max_epochs=9), validate=validate)
        assert len(history) == 4
        assert torch.equal(
            encoder.model.state_dict()["classifier.bias"], seen[1]["classifier.bias"]
        )

    def test_stops_a_fit_and_keeps_the_best_epoch(self, tiny_bert):
        texts = many_texts(40)
        labels = np.random.default_rng(0).integers(0, 2, 40)  # nothing to learn
        classifier = BertClassifier(
            tiny_bert,
            early_stopping=True,
            max_epochs=60,
            validation_fraction=0.2,
            learning_rate=5e-3,
            random_state=0,
        ).fit(texts, labels)
        scores = [entry["validation_score"] for entry in classifier.history_]
        losses = [entry["validation_loss"] for entry in classifier.history_]
        assert classifier.n_iter_ == len(scores) < 60
        ranks = list(zip(scores, np.negative(losses), strict=True))
        assert ranks.index(max(ranks)) == len(ranks) - 3

    def test_too_few_texts_of_a_class_to_hold_out(self, tiny_bert):
        with pytest.raises(InputError, match="cannot hold out"):
            BertClassifier(tiny_bert, early_stopping=True).fit(["a", "b", "c"], [0, 0, 1])


class TestTrouble:
    def test_loss_that_is_no_number(self, tiny_bert):
        classifier = BertClassifier(tiny_bert, learning_rate=1e12, max_grad_norm=None, min_steps=9)
        with pytest.raises(TrainingError, match=r"loss became (nan|inf) at step \d of .*smaller"):
            classifier.fit(["a cat", "a dog"] * 4, [0, 1] * 4)
        assert not hasattr(classifier, "history_")

    def test_names_the_first_bad_step(self, tiny_bert):
        class Bad(WeightedRows):
            n_calls = 0

            def loss(self, logits: torch.Tensor, rows: Any) -> torch.Tensor:
                self.n_calls += 1
                return super().loss(logits, rows) * (math.inf if self.n_calls == 5 else 1)

        encoder = trainable(tiny_bert)
        texts = many_texts()
        bad = Bad(cross_entropy, np.zeros(len(texts), np.int64), np.ones(len(texts)), CPU)
        with pytest.raises(TrainingError, match="became inf at step 5 of 18"):
            train(encoder, encoder.tokenizer.encode(texts, max_length=32), bad, RECIPE)

    def test_interrupt_keeps_the_epochs_done(self, tiny_bert, monkeypatch):
        """Ctrl-C in the third epoch: the weights are those of the updates so far."""
        update, n_updates = training_module._update, []

        def interrupted(trainer: Any, batches: Any) -> None:
            if len(n_updates) == 5:
                raise KeyboardInterrupt
            n_updates.append(1)
            update(trainer, batches)

        texts, labels = ["a good film", "the cat sat"] * 8, ["film", "animal"] * 8
        classifier = BertClassifier(
            tiny_bert,
            train_batch_size=8,
            learning_rate=5e-3,
            random_state=0,
            min_steps=60,
            dropout=0.0,
        )
        monkeypatch.setattr(training_module, "_update", interrupted)
        with pytest.warns(InterruptedTrainingWarning, match="after 2 of 30 epochs") as warned:
            classifier.fit(texts, labels)
        assert warned[0].filename == __file__
        assert classifier.n_iter_ == len(classifier.loss_curve_) == 2
        assert classifier.score(texts, labels) == 1
        assert copy.deepcopy(classifier).score(texts, labels) == 1

    def test_interrupt_before_the_first_update(self, tiny_bert, monkeypatch):
        def interrupted(trainer: Any, batches: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(training_module, "_update", interrupted)
        with pytest.warns(InterruptedTrainingWarning, match="after 0 of"):
            classifier = BertClassifier(tiny_bert).fit(["a", "b"], [0, 1])
        assert classifier.n_iter_ == 0
        assert classifier.predict(["a"]) in (0, 1)

    def test_out_of_memory(self, tiny_bert, monkeypatch):
        def full(*args: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(training_module, "_batch_loss", full)
        with pytest.raises(DeviceError, match=r"16 texts at a time.*train_batch_size"):
            BertClassifier(tiny_bert).fit(["a", "b"], [0, 1])

    def test_more_frozen_layers_than_there_are(self, tiny_bert):
        with pytest.raises(ParameterError, match="freeze=3 is more than the 2 layers"):
            BertClassifier(tiny_bert, freeze=3).fit(["a", "b"], [0, 1])


def test_gradient_checkpointing_changes_nothing(tiny_bert, packed):
    """Also with dropout: activations are computed again with the same random numbers."""
    results = []
    for checkpointing in (False, True):
        encoder = trainable(tiny_bert, dropout=0.2)
        run(encoder, replace(RECIPE, gradient_checkpointing=checkpointing))
        results.append(weights_of(encoder))
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, rtol=0, atol=1e-6)


def test_float16_scales_the_loss(tiny_bert):
    """The first updates are skipped, until the scale suits; then it learns."""
    encoder = trainable(tiny_bert)
    encoder.dtype = torch.float16
    history = run(encoder, replace(RECIPE, max_epochs=6))
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert all(torch.isfinite(tensor).all() for tensor in encoder.model.parameters())


def test_bfloat16_learns_nearly_the_same(tiny_bert, packed):
    full, half = trainable(tiny_bert), trainable(tiny_bert)
    half.dtype = torch.bfloat16
    before = weights_of(full)
    histories = [run(full, RECIPE), run(half, RECIPE)]
    assert all(tensor.dtype == torch.float32 for tensor in half.model.parameters())
    np.testing.assert_allclose(
        [entry["loss"] for entry in histories[1]],
        [entry["loss"] for entry in histories[0]],
        rtol=0.05,
    )
    moves = [
        (weights_of(encoder)["classifier.weight"] - before["classifier.weight"]).flatten()
        for encoder in (full, half)
    ]
    assert nn.functional.cosine_similarity(*moves, dim=0) > 0.9


def test_seed_gives_the_same_weights_twice(tiny_bert, packed):
    results = []
    for _ in range(2):
        encoder = trainable(tiny_bert, dropout=0.3)
        run(encoder, RECIPE)
        results.append(weights_of(encoder))
    assert all(torch.equal(results[1][name], tensor) for name, tensor in results[0].items())
    other = trainable(tiny_bert, dropout=0.3)
    run(other, replace(RECIPE, seed=8))
    assert not torch.equal(weights_of(other)["classifier.weight"], results[0]["classifier.weight"])


def test_dropout_acts_in_training_only(tiny_bert, packed):
    losses = {}
    for rate in (0.0, 0.5):
        encoder = trainable(tiny_bert, dropout=rate)
        losses[rate] = run(encoder, replace(RECIPE, learning_rate=1e-12, max_epochs=1))[0]["loss"]
        assert not any(module.training for module in encoder.model.modules())
    assert losses[0.0] != pytest.approx(losses[0.5], rel=1e-3)


def test_watcher_sees_whole_weights_and_may_stop(tiny_bert):
    encoder = trainable(tiny_bert)
    seen = []

    class Callback:
        n_begun = 0

        def on_epoch_begin(self) -> None:
            self.n_begun += 1

        def on_epoch_end(self, entry: dict[str, float], weights: Any) -> bool:
            seen.append(weights())
            return entry["epoch"] == 2

    callback = Callback()
    shapes = {name: tensor.shape for name, tensor in weights_of(encoder).items()}
    assert len(run(encoder, RECIPE, callback=callback)) == callback.n_begun == 2
    assert {name: tensor.shape for name, tensor in seen[0].items()} == shapes
    for name, tensor in encoder.model.state_dict().items():
        assert torch.equal(seen[1][name], tensor), name


def test_trained_model_is_freed_at_once(tiny_bert, monkeypatch):
    """Without waiting for the garbage collector: fits in a row must not pile up."""
    models = []
    start = training_module._start

    def watched(encoder: Any, *args: Any) -> Any:
        models.append(weakref.ref(encoder.model))
        return start(encoder, *args)

    monkeypatch.setattr(training_module, "_start", watched)
    gc.collect()
    gc.disable()
    try:
        classifier = BertClassifier(tiny_bert, min_steps=0, max_epochs=1)
        classifier.fit(["a", "b"], [0, 1])
        assert models[0]() is None
        inference = weakref.ref(classifier._encoder.model)
        classifier.fit(["a", "b"], [0, 1])
        assert inference() is None
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_learns_as_the_cpu_does(tiny_bert):
    texts, labels = many_texts(), np.random.default_rng(1).integers(0, 3, 22)
    options = {"dropout": 0.0, "learning_rate": 2e-3, "random_state": 0, "precision": "float32"}
    on = {
        device: BertClassifier(tiny_bert, device=device, **options).fit(texts, labels)
        for device in ("cpu", "cuda")
    }
    np.testing.assert_allclose(
        on["cuda"].predict_proba(texts), on["cpu"].predict_proba(texts), atol=0.02
    )
