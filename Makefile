# `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
LOCK := requirements/cpu.txt
# OpenVINO's engine and its converter have separate environments.
OPENVINO := .venv-openvino
CONVERT := .venv-convert
OPENVINO_LOCK := requirements/openvino.txt
CONVERT_LOCK := requirements/openvino-convert.txt
# Each client of the API that the tests run has its own environment.
CLIENTS := .venv-clients
LIGHT_CLIENTS := anthropic openai pydantic-ai
OTHER_CLIENTS := instructor langchain litellm llama-index openai-agents node
NODE := tests/clients/node
OPENVINO_STAMP := $(OPENVINO)/.installed
CONVERT_STAMP := $(CONVERT)/.installed
# PyTorch's CPU build is not on the package index. It comes from the folders of wheels in
# PIP_FIND_LINKS, or from PyTorch's index.
TORCH := $(or $(addprefix --find-links=,$(PIP_FIND_LINKS)),--torch-backend=cpu)

# Tests run in two processes. The tests of one group share a process (see tests/conftest.py).
PROCESSES ?= 2
PYTEST = python -m pytest --numprocesses $(PROCESSES)

.DEFAULT_GOAL := help
.PHONY: help install serve plan test test-clients test-container clients light-clients image unit lint types docs catalogue routes demo lock bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) $(OPENVINO_STAMP) $(CONVERT_STAMP) ## set up .venv, .venv-openvino, .venv-convert

$(STAMP): pyproject.toml $(LOCK) requirements/torch.txt requirements/uv.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"$(PYTHON) is Python {v[0]}.{v[1]}; this needs 3.11 or newer. Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements/uv.txt
	$(UV) pip install --python $(BIN)/python --compile-bytecode --no-deps $(TORCH) \
		-r $(LOCK) -r requirements/torch.txt
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@

$(OPENVINO_STAMP): $(STAMP) $(OPENVINO_LOCK)
	$(UV) venv --quiet --clear --python $(BIN)/python $(OPENVINO)
	$(UV) pip install --python $(OPENVINO)/bin/python --no-deps $(TORCH) \
		-r $(LOCK) -r $(OPENVINO_LOCK) -r requirements/torch.txt
	$(UV) pip install --python $(OPENVINO)/bin/python --quiet --no-deps --editable .
	@touch $@

$(CONVERT_STAMP): $(STAMP) $(CONVERT_LOCK)
	$(UV) venv --quiet --clear --python $(BIN)/python $(CONVERT)
	$(UV) pip install --python $(CONVERT)/bin/python --no-deps $(TORCH) \
		-r $(CONVERT_LOCK) -r requirements/torch.txt
	@touch $@

$(CLIENTS)/%/.installed: $(STAMP) requirements/clients/%.txt
	$(UV) venv --quiet --clear --python $(BIN)/python $(CLIENTS)/$*
	$(UV) pip install --python $(CLIENTS)/$*/bin/python --no-deps -r requirements/clients/$*.txt
	@touch $@

$(NODE)/node_modules/.installed: $(CLIENTS)/node/.installed $(NODE)/package-lock.json
	$(CLIENTS)/node/bin/npm ci --prefix $(NODE)
	@touch $@

# Serve the demo model from its cache unless MODEL_ID names another model.
ifndef MODEL_ID
serve plan: export MODEL_ID = inference-server/Demo-Llama
serve plan: export HF_HUB_CACHE = $(CURDIR)/demo/cache
serve plan: export HF_HUB_OFFLINE = 1
endif
ifndef HOST
serve plan: export HOST = 127.0.0.1
endif

ifeq ($(ACCELERATOR),openvino)
SERVE := $(OPENVINO)/bin
serve plan: $(OPENVINO_STAMP) $(CONVERT_STAMP)
else
SERVE := $(BIN)
endif

serve: $(STAMP) ## serve the demo model, or MODEL_ID=..., on http://127.0.0.1:8000
	@exec $(SERVE)/inference-server serve

plan: $(STAMP) ## show what `make serve` would do
	@exec $(SERVE)/inference-server plan

light-clients: $(LIGHT_CLIENTS:%=$(CLIENTS)/%/.installed)

clients: light-clients $(OTHER_CLIENTS:%=$(CLIENTS)/%/.installed) $(NODE)/node_modules/.installed ## install the clients of the tests

test: $(STAMP) $(OPENVINO_STAMP) $(CONVERT_STAMP) light-clients ## run all tests except the images', with real engines
	$(BIN)/$(PYTEST) --ignore=tests/container -m "not clients"
	$(OPENVINO)/bin/$(PYTEST) tests/server/openvino tests/end_to_end/test_openvino.py

test-clients: $(STAMP) clients ## run the tests of all clients that `make test` leaves out
	$(BIN)/$(PYTEST) -m clients tests/clients

test-container: $(STAMP) ## build the images, and run them with a strict cluster's restrictions
	$(BIN)/$(PYTEST) --timeout=2400 tests/container

image: ## build the CPU image with Docker or podman; KIND=openvino, cuda, rocm, hpu for another
	$(PYTHON) -m images.build $(or $(KIND),cpu)

# they wait more than they compute
unit: PROCESSES := 4
unit: $(STAMP) ## run the fast tests: no engine, no faults, no training
	$(BIN)/$(PYTEST) -m "not engine and not faults and not slow"

lint: $(STAMP) ## check the style, the import layers, and the words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m docs.prose
	$(BIN)/hadolint Dockerfile* tests/container/stand_in.Dockerfile

types: $(STAMP) ## check the types
	$(BIN)/mypy

docs: $(STAMP) ## write the generated pages of docs/
	$(BIN)/python -m docs.generate

catalogue: $(STAMP) ## write the catalog of the installed vLLM's options
	$(BIN)/python -m server.catalogue

routes: $(STAMP) ## write the page of the installed vLLM's routes
	$(BIN)/python -m server.gate.page

demo: $(STAMP) ## train the demo model again
	$(BIN)/python -m demo.train

SOLVE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	$(TORCH) --override requirements/overrides.txt \
	$(foreach package,torch torchvision torchaudio torchcodec triton openvino-telemetry,--no-emit-package $(package))

STORES := --extra s3 --extra azure --extra gcs --extra sign

lock: $(STAMP) $(CLIENTS)/node/.installed ## resolve the requirements again
	$(SOLVE) --extra cpu $(STORES) --extra dev pyproject.toml requirements/torch.txt -o $(LOCK)
	$(SOLVE) --extra openvino $(STORES) --constraint $(LOCK) pyproject.toml requirements/torch.txt \
		-o $(OPENVINO_LOCK)
	$(SOLVE) requirements/openvino-convert.in requirements/torch.txt -o $(CONVERT_LOCK)
	$(SOLVE) --extra cpu $(STORES) --constraint $(LOCK) pyproject.toml requirements/torch.txt \
		-o requirements/image-cpu.txt
	$(SOLVE) --extra s3 --extra sign --constraint $(LOCK) pyproject.toml \
		-o requirements/image-light.txt
	$(SOLVE) --group image -o requirements/image-tools.txt
	mkdir -p requirements/clients
	for client in $(LIGHT_CLIENTS) $(OTHER_CLIENTS); do \
		$(SOLVE) --group client-$$client -o requirements/clients/$$client.txt || exit; \
	done
	$(CLIENTS)/node/bin/npm update --package-lock-only --prefix $(NODE)

bench: $(STAMP) ## measure startup and planning
	$(BIN)/python -m benchmarks.light

clean: ## remove the environments, caches and build output
	rm -rf $(VENV) $(OPENVINO) $(CONVERT) $(CLIENTS) $(NODE)/node_modules .import_linter_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
