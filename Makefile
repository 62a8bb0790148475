# `make run` and `make test` are all that a newcomer needs: each sets up what it needs first.
# Needs python3 (3.11 or newer), a C++ compiler and a package registry; no model is downloaded.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done
ARGS ?=
SEEDS ?= 1000
# Those that run every branch of the core. Watching which branches run makes everything half as slow again, so only they do.
CORE_TESTS := tests/core tests/brain tests/replays tests/test_session.py tests/test_recorder.py
MESSAGES ?= 1000000
TALKER_WORK ?= build/talker
CLINC ?=
# As in .ci/setup: the one on the path, else the one that it put into the environment.
UV = $$(if uv --version >/dev/null 2>&1; then echo uv; else echo $(BIN)/uv; fi)

# What the compile of llama-cpp-python leaves out: image and audio input for models (LLAVA) and HTTPS downloads.
# The CPU's own instructions stay on (GGML_NATIVE), and so must the cores that it compiles on.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

.PHONY: help setup run test lint check sim bridges fuzz talker lock speech clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SETUP) ## make .venv with everything in it (the other targets do so by themselves)

run: $(SETUP) ## start the server; ARGS="--profile embedded --port 9000" passes options
	@exec $(BIN)/voicebot serve $(ARGS)

test: $(SETUP) ## every test: fast, real-time, and in a browser where a Chromium is found
	@$(BIN)/pytest $(CORE_TESTS) --cov=voicebot/core $(ARGS)
	@$(BIN)/pytest $(addprefix --ignore=,$(CORE_TESTS)) $(ARGS)

lint: $(SETUP) ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint ## lint and the fast tests, with every branch of the core covered
	@$(BIN)/pytest $(CORE_TESTS) --cov=voicebot/core -m "not realtime and not browser" $(ARGS)
	@$(BIN)/pytest $(addprefix --ignore=,$(CORE_TESTS)) -m "not realtime and not browser" $(ARGS)

sim: $(SETUP) ## seeded callers against failing engines in virtual time; SEEDS=1000
	@$(BIN)/python -m tests.sim.run --seeds $(SEEDS)

bridges: $(SETUP) ## try every telephone bridge against its carrier; ARGS=--write keeps the table in the docs
	@$(BIN)/python -m tests.carriers.table $(ARGS)

fuzz: $(SETUP) ## mutated messages into every telephone wire; MESSAGES=1000000
	@$(BIN)/python -m tests.carriers.fuzz --messages $(MESSAGES) $(ARGS)

talker: $(SETUP) ## train the shipped language model again, with torch, which this installs; CLINC=train_val.json
	@$(UV) pip install --quiet --python $(BIN)/python torch tokenizers
	@$(BIN)/python -m voicebot.training.talker train --work $(TALKER_WORK) $(if $(CLINC),--clinc $(CLINC)) $(ARGS)
	@$(BIN)/python -m voicebot.training.talker export --work $(TALKER_WORK) --out models/talker/talker.gguf

lock: $(SETUP) ## pin every package again
	@$(UV) pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes \
	    --no-emit-index-url --no-header -o requirements.lock

speech: ## make the test speech again (needs flite and sox)
	@tests/speech/make.sh

clean: ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(SETUP): requirements.lock pyproject.toml
	@.ci/setup $(VENV)
	@touch $@
