"""Tiny random checkpoints of the families of models: two layers, 32 wide."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conformity.tokenizers import make_tokenizer

MAX_LENGTH = 60
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    # Random weights of the usual scale would make all texts look alike.
    "initializer_range": 0.3,
}
DECODER = {**SIZE, "num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": False}
DEBERTA = {
    **SIZE,
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "type_vocab_size": 0,
    "position_biased_input": False,
}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "decoder_start_token_id": 0,
    "initializer_factor": 1.0,
}
XLM = {
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 66,
    "embed_init_std": 0.3,
    "init_std": 0.3,
    "use_lang_emb": False,
    "n_langs": 1,
    "bos_index": 0,
    "eos_index": 1,
    "pad_index": 1,
    "unk_index": 3,
}

NO_ANSWERS = {"answer": "no question-answering head"}
NO_LAYERS = {"freeze layers": "no separate layers"}
NO_INT8 = {"int8": "no linear layers"}


@dataclass(frozen=True)
class Family:
    """One family of models, and how a tiny checkpoint of it is made.

    Attributes
    ----------
    title : str
        Its name as the documentation writes it.
    config : str
        Class of its configuration.
    tokenizer : str
        Key of `tests.conformity.tokenizers.KINDS`.
    options : dict
        Settings of the configuration.
    has_segments : bool
        Whether its tokenizer tells texts of a pair apart.
    cannot : dict of str to str
        What skbert cannot do with it, and what the error then says: keys are "layers" (those below
        the last), "classify", "tag", "answer", "freeze layers", "bfloat16", "int8", "empty text".
    """

    title: str
    config: str
    tokenizer: str
    options: dict[str, Any] = field(default_factory=lambda: SIZE)
    has_segments: bool = False
    cannot: dict[str, str] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {
    "bert": Family("BERT", "BertConfig", "wordpiece", has_segments=True),
    "roberta": Family("RoBERTa", "RobertaConfig", "bytes"),
    "xlm-roberta": Family("XLM-RoBERTa, multilingual E5", "XLMRobertaConfig", "unigram"),
    "camembert": Family("CamemBERT", "CamembertConfig", "unigram"),
    "distilbert": Family(
        "DistilBERT",
        "DistilBertConfig",
        "wordpiece",
        {
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 66,
            "initializer_range": 0.3,
        },
    ),
    "electra": Family(
        "ELECTRA", "ElectraConfig", "wordpiece", {**SIZE, "embedding_size": 16}, has_segments=True
    ),
    "albert": Family(
        "ALBERT",
        "AlbertConfig",
        "unigram, deberta",
        {**SIZE, "embedding_size": 16},
        True,
        cannot=NO_LAYERS,
    ),
    "mpnet": Family("MPNet", "MPNetConfig", "wordpiece"),
    "deberta": Family(
        "DeBERTa",
        "DebertaConfig",
        "bytes, deberta",
        DEBERTA,
        has_segments=True,
        cannot={"bfloat16": 'Use precision="float32"'},
    ),
    "deberta-v2": Family(
        "DeBERTa-v2, DeBERTa-v3",
        "DebertaV2Config",
        "unigram, deberta",
        {**DEBERTA, "position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
        has_segments=True,
    ),
    "modernbert": Family(
        "ModernBERT", "ModernBertConfig", "bytes, deberta", {**SIZE, "local_attention": 8}
    ),
    "xlnet": Family(
        "XLNet",
        "XLNetConfig",
        "unigram, xlnet",
        {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "initializer_range": 0.3},
        has_segments=True,
    ),
    "longformer": Family(
        "Longformer", "LongformerConfig", "bytes", {**SIZE, "attention_window": [8, 8]}
    ),
    "big_bird": Family(
        "BigBird",
        "BigBirdConfig",
        "unigram, deberta",
        {**SIZE, "attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1},
        has_segments=True,
    ),
    "roformer": Family("RoFormer", "RoFormerConfig", "wordpiece", has_segments=True),
    "convbert": Family(
        "ConvBERT",
        "ConvBertConfig",
        "wordpiece",
        {**SIZE, "embedding_size": 32, "conv_kernel_size": 3},
        has_segments=True,
    ),
    "fnet": Family("FNet", "FNetConfig", "unigram, deberta", has_segments=True),
    "mobilebert": Family(
        "MobileBERT",
        "MobileBertConfig",
        "wordpiece",
        {
            **SIZE,
            "initializer_range": 0.1,  # it has no norms: its values would be thousands
            "embedding_size": 16,
            "intra_bottleneck_size": 16,
            "true_hidden_size": 16,
            "num_feedforward_networks": 2,
        },
        has_segments=True,
    ),
    "funnel": Family(
        "Funnel Transformer",
        "FunnelConfig",
        "wordpiece, funnel",
        {
            "d_model": 32,
            "block_sizes": [2, 2],
            "num_decoder_layers": 1,
            "n_head": 4,
            "d_head": 8,
            "d_inner": 48,
            "initializer_std": 0.3,
            "architectures": ["FunnelModel"],
        },
        has_segments=True,
        cannot={**NO_LAYERS, "layers": "Use layers=-1", "empty text": "cannot read 1 text"},
    ),
    "nomic_bert": Family(
        "NomicBERT",
        "NomicBertConfig",
        "wordpiece",
        {**SIZE, "initializer_range": 0.2},
        has_segments=True,
        cannot=NO_ANSWERS,
    ),
    "eurobert": Family(
        "EuroBERT",
        "EuroBertConfig",
        "bytes, deberta",
        {**SIZE, "num_key_value_heads": 2},
        cannot=NO_ANSWERS,
    ),
    "gte": Family(
        "GTE",
        "GteConfig",
        "wordpiece",
        {**SIZE, "type_vocab_size": 2},
        has_segments=True,
        cannot=NO_ANSWERS,
    ),
    "jina_embeddings_v3": Family("Jina embeddings v3", "JinaEmbeddingsV3Config", "unigram"),
    "ernie": Family("ERNIE", "ErnieConfig", "wordpiece", has_segments=True),
    "rembert": Family(
        "RemBERT",
        "RemBertConfig",
        "unigram, deberta",
        {**SIZE, "input_embedding_size": 16},
        has_segments=True,
    ),
    "megatron-bert": Family("Megatron-BERT", "MegatronBertConfig", "wordpiece", has_segments=True),
    "roberta-prelayernorm": Family("RoBERTa-PreLayerNorm", "RobertaPreLayerNormConfig", "bytes"),
    "xlm-roberta-xl": Family("XLM-RoBERTa-XL", "XLMRobertaXLConfig", "unigram"),
    "data2vec-text": Family("data2vec text", "Data2VecTextConfig", "bytes"),
    "squeezebert": Family(
        "SqueezeBERT",
        "SqueezeBertConfig",
        "wordpiece",
        {**SIZE, "embedding_size": 32},
        has_segments=True,
        cannot=NO_INT8,
    ),
    "nystromformer": Family(
        "Nyströmformer",
        "NystromformerConfig",
        "unigram, deberta",
        {**SIZE, "segment_means_seq_len": 4, "num_landmarks": 4},
        has_segments=True,
    ),
    "flaubert": Family("FlauBERT", "FlaubertConfig", "bytes", XLM),
    "xlm": Family("XLM", "XLMConfig", "bytes", XLM),
    "t5": Family("T5, sentence-T5, GTR", "T5Config", "unigram, t5", T5),
    "mt5": Family("mT5", "MT5Config", "unigram, t5", T5),
    "umt5": Family("UMT5", "UMT5Config", "unigram, t5", T5),
    "qwen3": Family("Qwen3, Qwen3-Embedding", "Qwen3Config", "bytes, qwen", DECODER),
    "gemma3_text": Family(
        "Gemma 3, EmbeddingGemma",
        "Gemma3TextConfig",
        "unigram, gemma",
        {**DECODER, "sliding_window": 8, "use_bidirectional_attention": True},
        cannot={**NO_ANSWERS, "tag": "no head for words"},
    ),
    "mistral": Family("Mistral, E5-Mistral", "MistralConfig", "unigram, gemma", DECODER),
    "llama": Family("Llama", "LlamaConfig", "bytes, gpt2", DECODER),
    "gpt2": Family(
        "GPT-2",
        "GPT2Config",
        "bytes, gpt2",
        {
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_inner": 48,
            "n_positions": 66,
            "initializer_range": 0.3,
        },
        cannot=NO_INT8,
    ),
}


def save_checkpoint(folder: Path, family: Family) -> Path:
    """Write a checkpoint of a family, with the ids of its tokenizer's special tokens."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(
        family.tokenizer, has_segments=family.has_segments, max_length=MAX_LENGTH
    )
    tokenizer.save_pretrained(folder)
    ids = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id")
        for name in ("pad", "bos", "eos", "cls", "sep")
    }
    known = {name: number for name, number in ids.items() if number is not None}
    if not hasattr(transformers, family.config):
        pytest.skip(f"transformers {transformers.__version__} has no {family.title}")
    config = getattr(transformers, family.config)(
        vocab_size=len(tokenizer), **{**known, **family.options}
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder
