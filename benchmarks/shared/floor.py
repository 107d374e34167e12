"""The floor of times: what the fastest products known on this machine would take for the work.

The products are those of a model's layers, by each library that torch brings: which is faster
depends on the CPU, the sizes and the precision, so all are measured and the fastest counts.
"""

from statistics import median
from time import perf_counter

import torch
from transformers import AutoConfig

FLOOR = "matmul floor"
ROWS = 2048
# Operations of one measurement: a second of float32 products on a core without AVX-512.
SAMPLE_FLOPS = 40e9

_mkldnn, _onednn = torch.ops.mkldnn, torch.ops.onednn


class Floor:
    """Some work, and the products of matrices whose rate bounds it.

    Parameters
    ----------
    folder : Path
        Of the model whose layers' sizes the products have.
    flops : float
        Operations of the work.
    precision : {"float32", "bfloat16", "int8"}
        What is multiplied.
    """

    def __init__(self, folder, flops, precision="float32"):
        self.flops = flops
        self.name = FLOOR if precision == "float32" else f"{FLOOR}, {precision}"
        sizes = layer_sizes(folder)
        a_layer = sum(2 * ROWS * n_in * n_out for n_in, n_out in sizes)
        self._times = max(1, round(SAMPLE_FLOPS / a_layer))
        self._sample_flops = self._times * a_layer
        self._products = {
            library: [make(n_in, n_out) for n_in, n_out in sizes]
            for library, make in LIBRARIES[precision].items()
        }
        self.gflops = {library: [] for library in self._products}  # a second, of each measurement

    def measure(self):
        """Return the seconds in which the library that is fastest now would do the work."""
        for library, products in self._products.items():
            start = perf_counter()
            for _ in range(self._times):
                for multiply in products:
                    multiply()
            seconds = perf_counter() - start
            self.gflops[library].append(self._sample_flops / 1e9 / seconds)
        return self.flops / 1e9 / max(rates[-1] for rates in self.gflops.values())

    def forget(self):
        """Drop what was measured: it was the warm-up."""
        for rates in self.gflops.values():
            rates.clear()

    def rates(self):
        """Return the median GFLOP/s of each library."""
        return {library: median(rates) for library, rates in self.gflops.items()}


def said_rates(precision, rates):
    """Put the rates of libraries into a line, the fastest first."""
    ordered = sorted(rates.items(), key=lambda item: -item[1])
    libraries = ", ".join(f"{library} {rate:.0f}" for library, rate in ordered)
    return f"{FLOOR} in {precision}, GFLOP/s: {libraries}"


def layer_sizes(folder):
    """Return inputs and outputs of the six products of each of a model's layers."""
    config = AutoConfig.from_pretrained(folder)
    H, inner = config.hidden_size, config.intermediate_size
    return [*([(H, H)] * 4), (H, inner), (inner, H)]


def _by_mm(dtype):
    def make(n_in, n_out):
        rows, weight = torch.rand(ROWS, n_in).to(dtype), torch.rand(n_in, n_out).to(dtype)
        output = torch.empty(ROWS, n_out, dtype=dtype)
        return lambda: torch.mm(rows, weight, out=output)

    return make


def _by_packed_weights(dtype):
    def make(n_in, n_out):
        rows = torch.rand(ROWS, n_in).to(dtype)
        weight = _mkldnn._reorder_linear_weight(torch.rand(n_out, n_in).to(dtype), ROWS)
        return lambda: _mkldnn._linear_pointwise(rows, weight, None, "none", [], "")

    return make


def _by_int_mm(n_in, n_out):
    rows, weight = _levels(ROWS, n_in), _levels(n_in, n_out)
    output = torch.empty(ROWS, n_out, dtype=torch.int32)
    return lambda: torch._int_mm(rows, weight, out=output)


def _by_quantized_linear(n_in, n_out):
    rows = _levels(ROWS, n_in).view(torch.uint8)
    weight = _onednn.qlinear_prepack(_levels(n_out, n_in), [ROWS, n_in])
    scales, zeros = torch.full((n_out,), 1e-5), torch.zeros(n_out, dtype=torch.int32)
    return lambda: _onednn.qlinear_pointwise(
        rows, 1.0, 128, weight, scales, zeros, None, 1.0, 128, torch.uint8, "none", [], ""
    )


def _levels(n_rows, n_columns):
    return torch.randint(-127, 128, (n_rows, n_columns), dtype=torch.int8)


def _libraries():
    """Return for each precision the ways to multiply that this torch has, by name."""
    has_packed = hasattr(_mkldnn, "_reorder_linear_weight") and torch.backends.mkldnn.is_available()
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        ways = {"torch.mm": _by_mm(dtype)}
        if has_packed and (dtype == torch.float32 or _mkldnn._is_mkldnn_bf16_supported()):
            ways["oneDNN, packed weights"] = _by_packed_weights(dtype)
        found[str(dtype).removeprefix("torch.")] = ways
    found["int8"] = {"torch._int_mm": _by_int_mm}
    if hasattr(_onednn, "qlinear_prepack"):
        found["int8"]["oneDNN, quantized linear"] = _by_quantized_linear
    return found


LIBRARIES = _libraries()
