# `make serve` and `make test` are all one needs; each makes what is missing first.
# A part of the tests: `make unit`, or with options: `make unit ARGS="-k ranges -x"`.

.DEFAULT_GOAL := help
SHELL := /bin/bash
PARTS := format lint types unit contracts rings simulation functional probe conformance
ARGS ?=
export PYTHON ?= python3

.PHONY: help
help: ## What there is
	@echo "swiftish: an object storage server that speaks OpenStack Swift's API"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'
	@echo
	@echo 'Options go in ARGS: make serve ARGS="--bind 127.0.0.1:9000", make unit ARGS="-k ranges"'

.PHONY: serve
serve: venv ## Start the server on http://127.0.0.1:8080
	@exec .venv/bin/swiftish serve $(ARGS)

.PHONY: test
test: venv ## Every check and every test; what CI runs (at most 20 minutes on 2 cores)
	@.venv/bin/python scripts/test.py $(PARTS)

.PHONY: check
check: venv ## The quick ones: format, lint, types, unit
	@.venv/bin/python scripts/test.py format lint types unit

.PHONY: $(PARTS)
format: ## Is all code formatted? (`make fix` formats it)
lint: ## ruff
types: ## mypy, strict
unit: ## Rules and functions, one by one; the layers (tests/test_tidy.py)
contracts: ## Fakes and real things pass the same checks; transcripts
rings: ## Rings and their builder, cross-checked with OpenStack Swift's own code
simulation: ## Whole clusters in one process, seeded, with faults
functional: ## A running server, seen from outside; real clients
probe: ## Real processes: kill, corrupt, fill, restart
conformance: ## OpenStack Swift's own functional tests against this server
$(PARTS): venv
	@.venv/bin/python scripts/test.py $@ $(if $(ARGS),-- $(ARGS))

.PHONY: lab
lab: venv ## A cluster on this machine, 4 storage nodes and 2 proxies, until Ctrl-C
	@exec .venv/bin/python -m scripts.lab

.PHONY: compose-up compose-down compose-test
compose-up: ## A cluster of containers (needs Docker): compose/README.md
	docker compose --file compose/compose.yaml up --detach --build --wait
compose-down: ## Take it down, with all that is in it
	docker compose --file compose/compose.yaml --profile five down --volumes
compose-test: ## Bring it up, lose a node, a disk and a network, watch it heal (3 minutes and the build)
	@exec $(PYTHON) -m compose.test $(ARGS)

.PHONY: soak
soak: venv ## Simulated clusters, broken for an hour: ARGS="--minutes 5 --seed 7"
	@exec .venv/bin/python -m scripts.soak $(ARGS)

.PHONY: fix
fix: venv ## Format, and correct what ruff can correct
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format .

.PHONY: venv
venv: ## Only make or update .venv
	@scripts/venv

.PHONY: clean
clean: ## Remove .venv and the tools' caches (never data)
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find swiftish tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
