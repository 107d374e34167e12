"""The peer of our fine-tuned estimators: the Trainer, set up as its documentation does."""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers
from shared import peers
from torch.optim.lr_scheduler import LambdaLR

import skbert

BATCH_SIZE = 16
# What both read, ours under the same names but for the warm-up.
SETTINGS = {"weight_decay": 0.01, "max_grad_norm": 1.0}
WARMUP = 0.1


def is_available():
    """Return whether accelerate, without which the Trainer does not start, is installed."""
    return importlib.util.find_spec("accelerate") is not None


# The Trainer's heads are the model's own, and begin at random.
HEADS = {
    "BertClassifier": {"pooling": "head", "init": "random"},
    "BertRegressor": {"pooling": "head", "init": "random"},
    "BertTokenClassifier": {"init": "random"},
}


@dataclass(frozen=True)
class Task:
    """A task as our estimator and as transformers know it, by the names of their classes.

    ``encode`` turns a tokenizer, X and y into columns of the Trainer's rows and the number of
    labels.
    """

    estimator: str
    auto_class: str
    encode: Callable
    collator: str = "DataCollatorWithPadding"

    def ours(self, folder, recipe, seed=0):
        """Return our estimator, set up as the Trainer is: with the model's own, random head."""
        head = HEADS.get(self.estimator, {})
        return getattr(skbert, self.estimator)(
            str(folder),
            **head,
            max_epochs=recipe["epochs"],
            min_steps=0,
            learning_rate=recipe["learning_rate"],
            warmup_fraction=WARMUP,
            dropout=recipe["dropout"],
            train_batch_size=recipe.get("batch_size", BATCH_SIZE),
            device=recipe.get("device", "cpu"),
            precision=recipe.get("precision", "float32"),
            random_state=seed,
            **SETTINGS,
        )

    def train(self, folder, X, y, recipe, *, seed=0, start=None, loss=None):
        """Fine-tune with the Trainer; texts are tokenized before the clock starts.

        With ``start``, from its weights and with its batches. With ``loss``, this loss of
        (model, inputs) and skbert's warm-up, whose first step is not of rate 0.

        Returns
        -------
        tokenizer, model, seconds
            The trained model, and the time of ``Trainer.train`` alone.
        """
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        columns, n_labels = self.encode(tokenizer, X, y)
        transformers.set_seed(seed)
        model = getattr(transformers, self.auto_class).from_pretrained(
            folder,
            dtype=torch.float32,  # the default is what the file holds
            hidden_dropout_prob=recipe["dropout"],
            attention_probs_dropout_prob=recipe["dropout"],
            num_labels=n_labels,
        )
        if start is not None:
            model.load_state_dict(start.weights)
        trainer = _trainer_class(start, loss)(
            model=model,
            args=_arguments(recipe, seed),
            train_dataset=as_rows(columns),
            data_collator=getattr(transformers, self.collator)(tokenizer),
        )
        trainer.remove_callback(transformers.PrinterCallback)  # it prints a line into the tables
        begin = time.perf_counter()
        trainer.train()
        return tokenizer, model, time.perf_counter() - begin

    def reload(self, estimator):
        """Load what our estimator saved with transformers: its tokenizer and model."""
        with tempfile.TemporaryDirectory() as saved:
            estimator.save_pretrained(saved)
            return peers.load_plain(saved, self.auto_class)


def as_rows(columns):
    """Turn columns, such as a tokenizer's output, into one dict a text."""
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in rows]


def _arguments(recipe, seed):
    on_cpu = recipe.get("device", "cpu") == "cpu"
    return transformers.TrainingArguments(
        output_dir=tempfile.gettempdir(),  # nothing is written
        per_device_train_batch_size=recipe.get("batch_size", BATCH_SIZE),
        num_train_epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        warmup_steps=WARMUP,
        lr_scheduler_type="linear",
        seed=seed,
        use_cpu=on_cpu,
        bf16=recipe.get("precision") == "bfloat16",
        dataloader_pin_memory=not on_cpu,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **SETTINGS,
    )


def _trainer_class(start, loss):
    """Return the Trainer, with the parts replaced that a start or a loss of our own asks for."""
    replaced = {}
    if start is not None:
        replaced["_get_train_sampler"] = lambda self, *args: _Sampler(start.orders)
    if loss is not None:
        replaced["compute_loss"] = lambda self, model, inputs, **kwargs: loss(model, inputs)
        replaced["create_scheduler"] = _create_our_scheduler
    return type("TrainerAsOurs", (transformers.Trainer,), replaced)


class _Sampler:
    """Give a DataLoader the orders of a `Start`, one each time that it asks."""

    def __init__(self, orders):
        self.n_rows, self.orders = len(orders[0]), iter(orders)

    def __len__(self):
        return self.n_rows

    def __iter__(self):
        return iter(next(self.orders).tolist())


def _create_our_scheduler(trainer, num_training_steps, optimizer=None):
    n_warmup = trainer.args.get_warmup_steps(num_training_steps)

    def share(step):
        if step < n_warmup:
            return (step + 1) / n_warmup
        return (num_training_steps - step) / (num_training_steps - n_warmup)

    trainer.lr_scheduler = LambdaLR(optimizer or trainer.optimizer, share)
    return trainer.lr_scheduler
