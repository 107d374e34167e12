"""Encodings and a model in; numpy arrays in the caller's order out, without gradients."""
