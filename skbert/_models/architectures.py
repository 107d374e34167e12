"""Which of transformers' classes reads a checkpoint for a task."""

from __future__ import annotations

from typing import Any

from skbert._exceptions import CheckpointError

# What a class of transformers adds to the encoder, for messages.
HEADS = {
    "AutoModelForSequenceClassification": ("head for whole texts", "BertEmbedder"),
    "AutoModelForTokenClassification": ("head for words", "BertEmbedder or BertClassifier"),
    "AutoModelForQuestionAnswering": ("question-answering head", "BertEmbedder or BertClassifier"),
}


def find_model_class(config: Any, auto_class: str) -> Any:
    """Return the class of transformers that has the wanted head.

    Of an encoder-decoder without a head, such as T5, it is the encoder alone.

    Raises
    ------
    CheckpointError
        If there is none, or the model does not read texts.
    """
    import transformers

    kind = config.model_type
    if getattr(config, "vocab_size", None) is None or not hasattr(config, "hidden_size"):
        raise CheckpointError(
            f"Models of type {kind!r} do not read texts only: their configuration has no "
            "vocab_size or hidden_size of its own. Use a checkpoint of a text encoder."
        )
    is_bare = auto_class == "AutoModel"
    two_parts = is_bare and bool(getattr(config, "is_encoder_decoder", False))
    mapping = getattr(transformers, "AutoModelForTextEncoding" if two_parts else auto_class)
    if type(config) in mapping._model_mapping:
        classes = mapping._model_mapping[type(config)]
        if not isinstance(classes, tuple):
            return classes
        named = [one for one in classes if one.__name__ in (config.architectures or ())]
        return (named or classes)[0]
    if two_parts:
        raise CheckpointError(
            f"Models of type {kind!r} are encoder-decoders, and transformers has no class for "
            "their encoder alone, as for T5's. Use a checkpoint of an encoder, e.g. of BERT's "
            "family."
        )
    head, instead = HEADS.get(auto_class, ("class for texts", "another checkpoint"))
    raise CheckpointError(
        f"transformers has no {head} for models of type {kind!r}. Use {instead}, or a checkpoint "
        "of another family."
    )
