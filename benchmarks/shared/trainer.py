"""The peer: Hugging Face's Trainer, set up as its documentation does, on the same texts."""

import importlib.util
import tempfile
import time

import numpy as np
from shared.peers import MAX_LENGTH

BATCH_SIZE = 16


def same_recipe(recipe, seed):
    """Give the parameters with which our estimators train as `run_trainer` does."""
    return {
        "max_epochs": recipe["epochs"],
        "min_steps": 0,
        "learning_rate": recipe["learning_rate"],
        "weight_decay": 0.01,
        "warmup_fraction": 0.1,
        "max_grad_norm": 1.0,
        "dropout": recipe["dropout"],
        "train_batch_size": recipe.get("batch_size", BATCH_SIZE),
        "device": "cpu",
        "precision": "float32",
        "random_state": seed,
    }


def is_available():
    """Whether accelerate, without which the Trainer does not start, is installed."""
    return importlib.util.find_spec("accelerate") is not None


def train_with_trainer(folder, texts, codes, *, dropout, epochs, learning_rate, seed, start=None):
    """Fine-tune a sequence classifier; texts are tokenised before the clock starts.

    Returns
    -------
    model, seconds
        The trained model, and the time of ``Trainer.train`` alone.
    """
    from transformers import AutoTokenizer, DataCollatorWithPadding

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_trainable(
        "AutoModelForSequenceClassification",
        folder,
        dropout=dropout,
        seed=seed,
        num_labels=int(max(codes)) + 1,
    )
    rows = as_rows(tokenize(tokenizer, texts), labels=[int(code) for code in codes])
    seconds = run_trainer(
        model,
        rows,
        DataCollatorWithPadding(tokenizer),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        start=start,
    )
    return model, seconds


def load_trainable(auto_class, folder, *, dropout, seed, **config):
    """Load a model with a new head, as transformers' documentation does."""
    import torch
    import transformers

    transformers.set_seed(seed)
    return getattr(transformers, auto_class).from_pretrained(
        folder,
        dtype=torch.float32,  # the default is what the file holds
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **config,
    )


def as_rows(encoded, **more):
    """Turn columns of a tokenizer's output, and others, into one dict a text."""
    columns = {**encoded, **more}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def run_trainer(
    model,
    rows,
    collator,
    *,
    epochs,
    learning_rate,
    seed,
    batch_size=BATCH_SIZE,
    start=None,
    as_ours=None,
):
    """Train a model in place; give the time of ``Trainer.train`` alone.

    With ``start`` (see `same_start`), from its weights and with its batches. With ``as_ours``, a
    loss from (model, inputs), this loss and skbert's warm-up, whose first step is not of rate 0.
    """
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class OrderedTrainer(Trainer):
        def _get_train_sampler(self, *args):
            return super()._get_train_sampler(*args) if start is None else start.sampler()

    class TrainerAsOurs(OrderedTrainer):
        def compute_loss(self, model, inputs, **kwargs):
            return as_ours(model, inputs)

        def create_scheduler(self, num_training_steps, optimizer=None):
            n_warmup = self.args.get_warmup_steps(num_training_steps)

            def share(step):
                if step < n_warmup:
                    return (step + 1) / n_warmup
                return (num_training_steps - step) / (num_training_steps - n_warmup)

            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, share)
            return self.lr_scheduler

    if start is not None:
        model.load_state_dict(start.weights)
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=batch_size,
            num_train_epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=0.01,
            warmup_steps=0.1,
            max_grad_norm=1.0,
            lr_scheduler_type="linear",
            seed=seed,
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = (OrderedTrainer if as_ours is None else TrainerAsOurs)(
            model=model, args=arguments, train_dataset=rows, data_collator=collator
        )
        trainer.remove_callback(PrinterCallback)  # it prints a line into the tables
        begin = time.perf_counter()
        trainer.train()
        return time.perf_counter() - begin


def tokenize(tokenizer, texts):
    """Tokenise texts, or pairs given as 2-tuples."""
    columns = list(map(list, zip(*texts, strict=True))) if isinstance(texts[0], tuple) else [texts]
    return tokenizer(*columns, truncation=True, max_length=MAX_LENGTH)


def predict_codes(folder, model, texts):
    """Predict with a model that the Trainer trained, in batches of similar length."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenize(tokenizer, texts)
    order = np.argsort([-len(ids) for ids in encoded["input_ids"]], kind="stable")
    predicted = np.empty(len(texts), np.int64)
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            batch = tokenizer.pad(
                {key: [encoded[key][i] for i in rows] for key in encoded}, return_tensors="pt"
            )
            predicted[rows] = model(**batch).logits.argmax(1).numpy()
    return predicted
