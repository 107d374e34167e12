"""The peer: Hugging Face's Trainer, set up as its documentation does, on the same texts."""

import importlib.util
import tempfile
import time

import numpy as np
from _peers import MAX_LENGTH

BATCH_SIZE = 16


def is_available():
    """Whether accelerate, without which the Trainer does not start, is installed."""
    return importlib.util.find_spec("accelerate") is not None


def train_with_trainer(folder, texts, codes, *, dropout, epochs, learning_rate, seed):
    """Fine-tune a sequence classifier; texts are tokenised before the clock starts.

    Returns
    -------
    model, seconds
        The trained model, and the time of ``Trainer.train`` alone.
    """
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        dtype=torch.float32,  # the default is what the file holds
        num_labels=int(max(codes)) + 1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    encoded = tokenize(tokenizer, texts)
    rows = [
        {**{key: encoded[key][i] for key in encoded}, "labels": int(codes[i])}
        for i in range(len(texts))
    ]
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=BATCH_SIZE,
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
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.remove_callback(PrinterCallback)  # it prints a line into the tables
        start = time.perf_counter()
        trainer.train()
        return model, time.perf_counter() - start


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
