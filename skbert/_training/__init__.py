"""Encodings, targets and a model in; trained weights and a history out."""
