# Tidemill. `make demo` shows it, `make test` proves it; both set everything up first.

PYTHON ?= python3.11
VENV ?= .venv
TORCH ?= torch==2.13.0
# Where plain pip finds only torch's CUDA build, take the CPU build from PyTorch's own index:
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
DEMO_DIR ?= .tidemill/demo
DEMO_PORT ?= 0
KEEP ?=
FAULTS ?=
AUDIT := .tidemill/audit

BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
TIDEMILL := $(BIN)/tidemill

.PHONY: help setup demo test lint test-full faults fuzz audit contracts pins bench-access bench-audit bench-bus bench-stage bench-resume \
  bench-backpressure bench-serving bench-data bench-pii bench-encryption bench-sizing bench-decisions try-containers clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## a virtual environment with everything in it (again only when a requirement changed)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not installed. On Debian: apt-get install python3.11 python3.11-venv;" >&2; \
	  echo "or name another Python 3.11: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than 3.11; name another: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3.11-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The constraint on torch names one build (+cpu); whichever build is found stays.
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/pip install --quiet -c $(VENV)/constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) '$(TORCH)'
	@$(BIN)/pip freeze | grep '^torch==' >> $(VENV)/constraints.txt
	$(BIN)/pip install --quiet -c $(VENV)/constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(STAMP) ## the whole flow on Python's own documentation; KEEP=1 leaves the platform running
	@PATH="$(CURDIR)/$(BIN):$$PATH" TIDEMILL_DATA_DIR="$(abspath $(DEMO_DIR))" \
	  DEMO_PORT="$(DEMO_PORT)" KEEP="$(KEEP)" bash deploy/demo.sh

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## everything that has to hold before a change is merged; under twenty minutes on two cores
	$(BIN)/pytest -q -n 2 --dist loadfile --max-worker-restart 0 -m "not full"

test-full: lint ## the same with the tests that take minutes
	$(BIN)/pytest -q

faults: $(STAMP) ## 200 runs while everything is killed, cut off and filled up; FAULTS="--runs 20 --seed 3" for less
	PYTHONPATH="$(CURDIR)/libs:$(CURDIR)" $(BIN)/python -m tests.faults $(FAULTS)

fuzz: $(STAMP) ## made-up messages and requests, and what each got; CASES=10000 in all
	PYTHONPATH="$(CURDIR)/libs:$(CURDIR)" $(BIN)/python -m tests.fuzz --cases $(or $(CASES),10000)

audit: $(STAMP) ## known vulnerabilities, a CycloneDX bill of materials for every image, secrets; results in .tidemill/audit
	@test -x $(AUDIT)/venv/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT)/venv && \
	  $(AUDIT)/venv/bin/pip install --quiet pip-audit==2.10.1 cyclonedx-bom==7.5.0 detect-secrets==1.5.0; }
	@PYTHONPATH="$(CURDIR)" $(BIN)/python -m deploy.audit --tools $(AUDIT)/venv/bin --to $(AUDIT)

bench-audit: $(STAMP) ## the audit log at 100,000 entries: one more, the newest, the proof; ENTRIES=1000 for fewer
	$(BIN)/python -m tests.bench.audit --entries $(or $(ENTRIES),100000)

pins: $(STAMP) ## constraints.txt anew from what is installed, after `make test-full`
	$(BIN)/pip freeze --exclude-editable > constraints.txt

contracts: $(STAMP) ## proto/: AsyncAPI, the recipe's JSON Schema, OpenAPI; the schema of the Helm chart's values
	$(BIN)/python -m tidemill.cli.contracts --to proto
	$(BIN)/python -c 'import json; from services.inference.openapi import document; print(json.dumps(document(), indent=2, ensure_ascii=False))' > proto/openapi.json
	$(BIN)/python deploy/helm/write_schema.py

bench-bus: $(STAMP) ## one hop over the bus beside FastStream alone and bare nats-py
	$(BIN)/python tests/bench/bus.py

bench-stage: $(STAMP) ## the machinery of one stage beside a Celery task and a Prefect flow (installed below .tidemill/bench)
	$(BIN)/python -m tests.bench.stage

bench-resume: $(STAMP) ## a training killed in mid-epoch beside an uninterrupted twin
	$(BIN)/python -m tests.bench.resume

bench-backpressure: $(STAMP) ## 500 datasets of two projects published at once; RUNS=20 for fewer, WORK=real to train them
	$(BIN)/python -m tests.bench.backpressure --work $(or $(WORK),quick) $(if $(RUNS),--runs $(RUNS))

bench-sizing: $(STAMP) ## what a run costs and what it leaves behind, run by run; RUNS=20 DATA=reviews.csv for a real one first
	$(BIN)/python -m tests.bench.sizing $(if $(RUNS),--runs $(RUNS)) $(if $(DATA),--data $(DATA) --default-model)

bench-decisions: $(STAMP) ## how a project's chain of decisions weighs on the registry as it grows
	$(BIN)/python -m tests.bench.decisions

bench-serving: $(STAMP) ## requests a second of the gateway
	$(BIN)/python tests/bench/serving.py

bench-access: $(STAMP) ## the gateway with keys, tokens and TLS beside itself without
	$(BIN)/python -m tests.bench.access

bench-data: $(STAMP) ## a million rows read, cleaned, deduplicated, masked and written, beside pandas and polars; REPEAT=1 ROWS=200000
	$(BIN)/python -m tests.bench.data --rows $(or $(ROWS),1000000) --repeat $(or $(REPEAT),3)

bench-pii: $(STAMP) ## personal data found in labelled texts beside Presidio's patterns, and rows a second of masking
	$(BIN)/python -m tests.bench.pii

bench-encryption: $(STAMP) ## an artifact put and fetched, encrypted and plain, in MB a second; SIZE=1000 for another size
	$(BIN)/python -m tests.bench.encryption --megabytes $(or $(SIZE),500)

try-containers: ## build the images, run the whole flow in them, kill one, print sizes and times; STAND_INS=1 where none can be pulled
	bash deploy/docker/try.sh build
	bash deploy/docker/try.sh run

clean: ## what tools left behind; neither the virtual environment nor any platform's data
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +
