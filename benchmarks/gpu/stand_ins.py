"""A try-out without a GPU: skbert takes its way for GPUs on the CPU, but for the kernel.

Whole batches go through one call of attention for texts of varying length, computed here text by
text, as the tests do it.
"""

import weakref
from contextlib import ExitStack, contextmanager
from unittest.mock import PropertyMock, patch

import torch
from torch.nn.functional import scaled_dot_product_attention

# Encoders that pad although they need not, shared among estimators as the others are.
PADDED = weakref.WeakValueDictionary()


@contextmanager
def for_gpu(*, active):
    """Stand in for a GPU inside the block, if ``active``."""
    with ExitStack() as stack:
        if active:
            for target, stand_in in {
                "torch.nn.attention.varlen.varlen_attn": attend_text_by_text,
                "skbert._models.encoder.has_varlen_attention": lambda device, dtype: True,
                "skbert._models.device.computes_alone": lambda device: True,
            }.items():
                stack.enter_context(patch(target, stand_in))
            reads_runs = PropertyMock(return_value=False)
            stack.enter_context(patch("skbert._models.encoder.Encoder.reads_runs", reads_runs))
        yield


def attend_text_by_text(query, key, value, bounds_q, bounds_k, max_q, max_k, *, scale):
    """Compute what torch's ``varlen_attn`` does, (T, A, D)."""
    sides = ((query, bounds_q), (key, bounds_k), (value, bounds_k))
    parts = [tensor.split(bounds.diff().tolist()) for tensor, bounds in sides]
    attended = [
        scaled_dot_product_attention(*(x.transpose(0, 1) for x in qkv), scale=scale)
        for qkv in zip(*parts, strict=True)
    ]
    return torch.cat([text.transpose(0, 1) for text in attended])


@contextmanager
def padded_only():
    """Let encoders that are loaded inside the block pad their batches, on a GPU, too."""
    with (
        patch("skbert._models.encoder.can_pack", lambda config: False),
        patch("skbert._models.shared._SHARED", PADDED),
    ):
        yield
