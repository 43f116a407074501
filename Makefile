# `make` lists the targets; every one sets up what it needs by itself.
SHELL := /bin/sh
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
# trust what this computer trusts, such as a company's proxy
export UV_SYSTEM_CERTS = 1
export NODE_USE_SYSTEM_CA = 1
PY := .venv/bin/python
CODE := function_app.py functions sketch edge training laptop infra tests bench

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "make %-14s %s\n", $$1, $$2}'

demo: .venv/.ready ## the whole loop on real flights, with what it turns down (JSON=file for the figures)
	@.venv/bin/refluent demo $(if $(JSON),--json $(JSON))

up: .venv/.ready ## a stack that stays up until Ctrl-C
	@.venv/bin/refluent up

test: .venv/.ready ## every test, the demo's whole story included
	@$(PY) -m pytest -n 2 --dist loadgroup $(ARGS)

check-infra: .venv/.ready ## the templates and the package for Azure, as far as that goes without Azure
	@$(PY) -m pytest -n 2 -q tests/infra
	@infra/check.sh

check: .venv/.ready ## formatting, lint, types, architecture, spelling, dependencies, fresh requirements, Dockerfiles
	@.venv/bin/ruff format --check --quiet $(CODE)
	@.venv/bin/ruff check --quiet $(CODE)
	@.venv/bin/mypy
	@said=$$(.venv/bin/lint-imports) || { echo "$$said"; exit 1; }
	@.venv/bin/codespell
	@said=$$(.venv/bin/deptry --no-ansi . 2>&1) || { echo "$$said"; exit 1; }
	@laptop/requirements.sh --check
	@.venv/bin/hadolint --config .hadolint.yaml edge/Dockerfile edge/functions.Dockerfile edge/ingest/Dockerfile

format: .venv/.ready ## format and mend what can be mended
	@.venv/bin/ruff check --quiet --fix $(CODE); .venv/bin/ruff format --quiet $(CODE)

lock: .venv/.ready ## compile requirements.txt and requirements-dev.txt from pyproject.toml
	@laptop/requirements.sh

bench-burst: .venv/.ready ## 10,000 uploads with 20 % duplicates, from the first delivery to the job
	@$(PY) -m bench.burst $(ARGS) $(if $(JSON),--json $(JSON))

soak: .venv/.ready ## a fleet of 25 device processes: good models, a wrong one, and four that devices refuse
	@$(PY) -m pytest -m soak -p no:randomly $(ARGS)

sim: .venv/.ready ## simulated days with faults everywhere (SEEDS=200 FIRST_SEED=0, or SEED=7 for one with its trace)
	@$(PY) -m tests.sim $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200) --first-seed $(or $(FIRST_SEED),0))

sim-exhaustive: .venv/.ready ## every single fault and every pair of them, in small simulated stories
	@$(PY) -m tests.sim --exhaustive

sim-mutants: .venv/.ready ## how the simulation finds each planted fault
	@$(PY) -m tests.sim --mutants

fuzz: .tools/fuzz/.ready ## the parsers of strangers' bytes, fuzzed with atheris (SECONDS=60 each; crashes are kept in .refluent/fuzz)
	@for parser in events telemetry sketches; do .tools/fuzz/bin/python -m tests.fuzz $$parser --seconds $(or $(SECONDS),60) --corpus .refluent/fuzz || exit 1; done

.tools/fuzz/.ready: .venv/.ready
	@uv=$$(command -v uv || echo .tools/uv/bin/uv); $$uv venv --quiet --clear --python .venv/bin/python .tools/fuzz
	@uv=$$(command -v uv || echo .tools/uv/bin/uv); $$uv pip install --quiet --python .tools/fuzz/bin/python atheris==3.1.0
	@site=lib/python3.13/site-packages; echo "$(CURDIR)/.venv/$$site" > .tools/fuzz/$$site/checkout.pth; touch $@

bench-host: .venv/.ready ## the Functions host: start, first event, invocations a second
	@$(PY) -m bench.host $(if $(JSON),--json $(JSON))

bench-edge: .venv/.ready ## the scoring endpoint beside its floor, beside other servers, and during swaps
	@$(PY) -m bench.edge $(if $(JSON),--json $(JSON))

bench-package: .venv/.ready ## what is uploaded to Azure: its size, and how long it takes to load
	@$(PY) -m bench.package $(if $(JSON),--json $(JSON))

bench-drift-messages: .venv/.ready ## device messages from bytes to windows updated and scored, by format, beside decoding alone; and on Azurite (DEBIAN=1 for the first with Debian's Python)
	@$(if $(DEBIAN),sh bench/debians_python.sh -m bench.drift_messages,$(PY) -m bench.drift_messages --azurite $(if $(JSON),--json $(JSON)))

bench-scale: .venv/.ready ## 100 to 1,000,000 devices on paper: messages, units, table operations, euros; and what a sketch saves
	@$(PY) -m bench.scale

bench-plan: .venv/.ready ## planning a change of 10,000 devices with 5 layers
	@$(PY) -m bench.plan $(if $(JSON),--json $(JSON))

bench-drift-window: .venv/.ready ## one window of 100,000 rows and 25 features beside six other libraries
	@OMP_NUM_THREADS=1 $(PY) -m bench.drift_window $(if $(JSON),--json $(JSON))

bench-gate: .venv/.ready ## the gate: how often it promotes a model that is no better, and one that is
	@$(PY) -m bench.gate $(if $(JSON),--json $(JSON))

bench-field-gate: .venv/.ready ## the field gate: good versions let on and harmful ones taken back, by how many periods were shared before
	@$(PY) -m bench.field_gate $(if $(JSON),--json $(JSON))

bench-drift-quality: .venv/.ready ## the drift detector beside others: false alarms, power, delay (ROUNDS=10 for ten times as many references)
	@$(PY) -m bench.drift_quality $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(JSON),--json $(JSON))

bench-drift-real: .venv/.ready ## the drift detector on a year of flights and on a census
	@$(PY) -m bench.drift_real $(if $(JSON),--json $(JSON))

bench-loop-value: .venv/.ready ## a year of flights: log loss and jobs of each retraining policy (PICTURE=file.svg)
	@$(PY) -m bench.loop_value $(if $(JSON),--json $(JSON)) $(if $(PICTURE),--picture $(PICTURE))

setup: .venv/.ready ## install everything, start nothing

clean: ## remove everything that any target made
	@rm -rf .venv .tools .refluent .python_packages node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage* dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: requirements-dev.txt package-lock.json laptop/setup.sh
	@laptop/setup.sh

.PHONY: help demo up test check check-infra format lock fuzz sim sim-exhaustive sim-mutants soak bench-burst bench-drift-messages bench-scale bench-edge bench-host bench-package bench-plan bench-drift-window bench-gate bench-field-gate bench-drift-quality bench-drift-real bench-loop-value setup clean
