"""Classes of transformers for a checkpoint, and models that are refused by name."""

from __future__ import annotations

import pytest
import transformers

from skbert import CheckpointError
from skbert._models.architectures import find_model_class

CLASSES = [
    ("BertConfig", "AutoModel", "BertModel"),
    ("T5Config", "AutoModel", "T5EncoderModel"),
    ("MT5Config", "AutoModel", "MT5EncoderModel"),
    ("UMT5Config", "AutoModel", "UMT5EncoderModel"),
    ("FunnelConfig", "AutoModel", "FunnelModel"),
    ("XLNetConfig", "AutoModelForQuestionAnswering", "XLNetForQuestionAnsweringSimple"),
]
REFUSED = [
    ("BartConfig", "AutoModel", "'bart' are encoder-decoders"),
    ("MBartConfig", "AutoModel", "'mbart' are encoder-decoders"),
    ("WhisperConfig", "AutoModel", "'whisper' are encoder-decoders"),
    ("ViTConfig", "AutoModel", "'vit' do not read texts only"),
    ("CLIPConfig", "AutoModel", "'clip' do not read texts only"),
    ("ViTConfig", "AutoModelForSequenceClassification", "'vit' do not read texts only"),
    ("Gemma3TextConfig", "AutoModelForTokenClassification", "no head for words.*'gemma3_text'"),
    ("NomicBertConfig", "AutoModelForQuestionAnswering", "no question-answering head"),
    ("SwitchTransformersConfig", "AutoModelForSequenceClassification", "no head for whole texts"),
]


@pytest.mark.parametrize(("config", "auto_class", "expected"), CLASSES)
def test_class_is_that_of_the_encoder_and_head(config, auto_class, expected):
    found = find_model_class(getattr(transformers, config)(), auto_class)
    assert found.__name__ == expected


def test_a_bare_funnel_is_what_its_configuration_says():
    config = transformers.FunnelConfig(architectures=["FunnelBaseModel"])
    assert find_model_class(config, "AutoModel").__name__ == "FunnelBaseModel"


@pytest.mark.parametrize(("config", "auto_class", "message"), REFUSED)
def test_what_cannot_be_read_is_refused_by_name(config, auto_class, message):
    with pytest.raises(CheckpointError, match=message):
        find_model_class(getattr(transformers, config)(), auto_class)
