# `make demo` and `make test` each do their own set-up in .venv: a fresh machine needs only Python >= 3.11.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -q -c constraints.txt
LOW := .venv-low
LOW_CPU := .venv-low-cpu
BASE := $(VENV)/.base

.PHONY: demo test test-low test-low-quarter test-engines test-install check docs bench gpu-proof format clean

demo: $(VENV)/.demo
	$(PY) examples/quickstart.py

test: $(VENV)/.test
	$(PY) -m pytest

# With the lowest versions that pyproject.toml allows, in an environment of its own: Python 3.11 or 3.12.
# Some of it: make test-low ARGS=tests/texts
test-low: $(LOW)/.test-low
	$(LOW)/bin/python -m pytest $(ARGS)

# About a quarter of it, in another environment: the lowest versions of all packages but torch, whose lowest is on PyPI
# with CUDA only. What the versions of other packages may break: containers (numpy, pandas, pyarrow), tokenizers and checkpoints
# (transformers, tokenizers, safetensors), attention, cloning, pipelines and set_output (scikit-learn), files (pyarrow), and
# the numbers that were recorded with the newest versions.
QUARTER := tests/texts/test_inputs.py tests/models tests/kernels/test_packing.py tests/files \
	tests/estimators/test_in_sklearn.py tests/test_recorded_results.py tests/test_lowest_versions.py \
	$(addprefix --deselect=tests/files/test_embed_files.py::test_,killed_twenty_times memory_is_bounded) # slow
test-low-quarter: $(LOW_CPU)/.test-low
	$(LOW_CPU)/bin/python -m pytest $(QUARTER)

# On real engines: Dask, Ray and Spark, two workers each. Spark's Java comes with apt where that is. An engine that
# cannot be had here is left out; the last lines say so (NOT TESTED).
test-engines: $(VENV)/.test
	for engine in dask ray spark; do $(MAKE) $(VENV)/.$$engine || echo "NOT TESTED: pip could not install $$engine"; done
	sh tests/engines/java.sh || echo "NOT TESTED: Spark"
	OMP_NUM_THREADS=1 $(PY) -m pytest -m engines -rs --durations=8 $(ARGS) tests/engines

# README and quickstart in a new environment made by README's lines; needs PyPI, takes some minutes.
test-install: $(VENV)/.test
	SKBERT_FRESH_INSTALL=1 $(PY) -m pytest tests/test_fresh_install.py

check: $(VENV)/.test
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) docs/check_docstrings.py
	$(PY) docs/check_prose.py
	$(VENV)/bin/codespell

# Runs the gallery's scripts. Without them, while you write: make docs SPHINX='-D plot_gallery=0'
docs: $(VENV)/.docs
	$(VENV)/bin/sphinx-build -W --keep-going $(SPHINX) docs docs/_build

# A try-out: make bench ARGS=--quick. Some parts: make bench ARGS='--only speed int8'
bench: $(VENV)/.bench
	$(PY) benchmarks/run.py $(ARGS)

# On a machine with an NVIDIA GPU: nothing is installed or downloaded. It takes $(PYTHON), or any Python that has torch.
# A try-out without a GPU, a minute: make gpu-proof ARGS='--cpu --tiny'
gpu-proof:
	$(PYTHON) benchmarks/gpu_proof.py $(ARGS)

format: $(VENV)/.test
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# torch first and alone, pinned by the constraints: a plain `torch` would bring a CUDA build of several GB.
$(BASE): constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) torch
	touch $@

# One stamp an extra: set up again when the dependencies change.
$(VENV)/.%: $(BASE) pyproject.toml constraints.txt
	$(PIP) -e ".[$*]"
	touch $@

$(LOW)/.test-low: constraints-low.txt pyproject.toml
	$(PYTHON) -m venv $(LOW)
	$(LOW)/bin/python -m pip --disable-pip-version-check install -q --upgrade pip
	$(LOW)/bin/python -m pip install -q -c constraints-low.txt -e ".[test-low]"
	touch $@

$(LOW_CPU)/.test-low: constraints-low.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(LOW_CPU)
	{ grep -v '^torch==' constraints-low.txt; grep '^torch==' constraints.txt; } > $(LOW_CPU)/constraints.txt
	$(LOW_CPU)/bin/python -m pip --disable-pip-version-check install -q --upgrade pip
	$(LOW_CPU)/bin/python -m pip install -q -c $(LOW_CPU)/constraints.txt torch
	$(LOW_CPU)/bin/python -m pip install -q -c $(LOW_CPU)/constraints.txt -e ".[test-low]"
	touch $@

clean:
	rm -rf $(VENV) $(LOW) $(LOW_CPU) build dist docs/_build docs/auto_examples docs/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
