# One line per job; each sets up what it needs. Needs: make, Python >= 3.10, a Rust toolchain.
#
#   make demo    build, install, upsample the shipped photograph with every technique
#   make test    build, install, run every Rust and Python test
#   make lint    formatting, clippy, ruff, mypy, stubtest, the layering test
#   make bench   race the peers (downloads torch, onnxruntime, openvino, opencv: several GB)
#   make profile BENCH='name of a Criterion bench'   where its time goes, instruction by instruction
#   make docs    Rust API documentation, warnings denied
#   make site    the site of docs/, warnings denied: site/index.html (Python >= 3.11)
#   make clean   remove the environment and everything built

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -q -n auto
BENCH_ARGS ?=
BENCH ?=
SUITE ?= kernels

BIN := $(VENV)/bin
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench profile docs site clean

help:
	@sed -n 's/^#   //p' Makefile

# --upgrade-deps: the pip that CPython 3.10 bundles copies the source tree before it builds.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python >= 3.10 needed")'
	@command -v cargo >/dev/null || { echo "cargo not found: see https://rustup.rs" >&2; exit 1; }
	$(PYTHON) -m venv --upgrade-deps $(VENV)

demo: $(BIN)/python
	@echo "building; the first time takes a few minutes"
	$(BIN)/pip install --quiet --editable '.[cli]'
	$(BIN)/upsample-rs compare -o compare.png
	@echo "picture: $(CURDIR)/compare.png"

test: $(BIN)/python
	@echo "building; the first time takes a few minutes"
	$(BIN)/pip install --quiet --editable '.[test]'
	cargo test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	cargo fmt --check
	cargo clippy --lib -- -D warnings
	cargo clippy --all-targets --features python -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest upsample_rs._core
	$(BIN)/python -m pytest -q tests/test_layering.py

bench: $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python benches/compare.py $(BENCH_ARGS)

profile:
	cargo bench --profile profiling --bench $(SUITE) --no-run
	perf record --quiet --output target/perf.data \
	  "$$(ls -t target/profiling/deps/$(SUITE)-* | grep -v '\.d$$' | head -n 1)" \
	  --bench --profile-time 5 '$(BENCH)'
	perf report --input target/perf.data --stdio --percent-limit 1 --no-children 2>/dev/null | grep '%.*\[\.\]' | head -n 12
	perf annotate --input target/perf.data --stdio 2>/dev/null > target/annotated.txt
	@echo "annotated assembly, hottest function first: $(CURDIR)/target/annotated.txt"

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

site: $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs site
	@echo "site: $(CURDIR)/site/index.html"

clean:
	rm -rf $(VENV) target site jupyter_execute compare.png
	rm -f python/upsample_rs/_core*.so
