# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# All paths are relative, so that a checkout may lie anywhere, in a directory with spaces too.

# The interpreter that .venv is made from: the distribution's where it is complete, since other users can run that one.
PYTHON ?= $(shell for python in /usr/bin/python3.11 python3.11 python3; do \
	"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; echo "$$python")
# More arguments for pytest: make unit PYTEST_ARGS='-k wal -x'
PYTEST_ARGS ?=

# In continuous integration a skipped test is a failure: it would prove nothing; and what takes longest is told.
PYTEST := .venv/bin/python -m pytest $(if $(CI),-p tests.gates.no_skip --durations=12)
# A process that dies ends the run: replaced, it leaves pytest-xdist waiting for ever for the rest of its group.
SIDE_BY_SIDE := --numprocesses=auto --max-worker-restart=0
# A test of a server waits half of its time.
SERVERS_SIDE_BY_SIDE := --numprocesses=$(shell expr 2 '*' $$(nproc)) --max-worker-restart=0 --dist=loadgroup

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)$$/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  make %-16s %s\n' "$$target" "$$text"; done

.PHONY: setup
setup: ## make .venv and put the checkout on Ansible's collections path
	@"$(PYTHON)" -B -m tests.gates.setup

# A linter speaks only of what it found.
quietly = @said=$$($(1) 2>&1) || { printf '%s\n' '$(1)' "$$said"; exit 1; }
LINTERS := lint-ruff lint-format lint-mypy lint-python39 lint-yaml lint-ansible lint-changelog lint-reuse
.PHONY: lint $(LINTERS)
lint: setup ## all the linters below, side by side
	@$(MAKE) --no-print-directory --keep-going --jobs=$$(nproc) --output-sync=target $(LINTERS)
lint-ruff: setup ## ruff: errors and style of Python
	$(call quietly,.venv/bin/ruff check .)
lint-format: setup ## ruff: formatting of Python
	$(call quietly,.venv/bin/ruff format --check .)
lint-mypy: setup ## mypy, strict: types of all but the tests themselves
	$(call quietly,.venv/bin/mypy)
lint-python39: setup ## vermin: what runs on managed hosts runs on Python 3.9
	$(call quietly,.venv/bin/vermin --target=3.9- --violations --no-tips --quiet plugins roles)
lint-yaml: setup ## yamllint
	$(call quietly,.venv/bin/yamllint --strict .)
lint-ansible: setup ## ansible-lint, profile production
	$(call quietly,ANSIBLE_INVENTORY=inventory.example.yml .venv/bin/ansible-lint --offline --strict --nocolor)
lint-changelog: setup ## antsibull-changelog: fragments and changelog
	$(call quietly,.venv/bin/antsibull-changelog lint)
lint-reuse: setup ## reuse: every file says whose it is, and under which licence
	$(call quietly,REUSE_ENCODING_MODULE=charset_normalizer .venv/bin/reuse lint)

.PHONY: format
format: setup ## rewrite Python as ruff wants it
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.PHONY: variables
variables: setup ## write docs/variables.md from the argument specifications
	@.venv/bin/python -m tests.gates.variables

.PHONY: sanity
sanity: setup ## ansible-test sanity of the oldest and the newest ansible-core here, on clean copies
	.venv/bin/python -m tests.gates.sanity

.PHONY: unit integration
unit: setup ## unit tests: two minutes, no server
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not soak' tests/unit $(PYTEST_ARGS)
integration: setup ## integration tests: real PostgreSQL servers, 18 and some 14, 16, 17
	$(PYTEST) $(SERVERS_SIDE_BY_SIDE) -m 'not soak' tests/integration $(PYTEST_ARGS)

# The hash of the checkout's files is the seed of a slice, and a new one is drawn for full length; both print it.
# One that is to be repeated: make soak PGARK_SOAK_SEED=5e7b
.PHONY: soak soak-slice
soak: setup ## long random runs and kill loops at every call, at full length
	PGARK_SOAK=full $(PYTEST) $(SERVERS_SIDE_BY_SIDE) -m soak tests/integration tests/unit $(PYTEST_ARGS)
soak-slice: setup ## a part of them, drawn by a seed: three minutes
	$(PYTEST) $(SERVERS_SIDE_BY_SIDE) -m soak tests/integration tests/unit $(PYTEST_ARGS)

# How many, on what, or which to repeat: make histories HISTORIES_ARGS='--verdicts 2000 --versions 17,18'
HISTORIES_ARGS ?=
.PHONY: histories
histories: setup ## random histories against a ledger, until there are enough verdicts; goes on where it stopped
	@.venv/bin/python -m tests.support.histories $(HISTORIES_ARGS)

# What the controller and the managed side run in compat: a release of ansible-core or "newest", and a Python.
ANSIBLE_CORE ?= 2.16
PYTHON_MANAGED ?= 3.9
.PHONY: compat
compat: setup ## integration tests with ANSIBLE_CORE=2.16 and PYTHON_MANAGED=3.9, or others
	.venv/bin/python -m tests.gates.compat --ansible-core $(ANSIBLE_CORE) --managed $(PYTHON_MANAGED) -- \
		$(PYTEST) tests/integration $(PYTEST_ARGS)

.PHONY: test
test: lint sanity unit integration ## lint, sanity, unit and integration, one after the other

# One of them, and what to do with it: make molecule SCENARIO=pitr_restore STEP=converge
SCENARIO ?=
STEP ?= test
.PHONY: molecule molecule-images
molecule-images: setup ## build what the hosts of molecule boot from, which molecule does otherwise
	@.venv/bin/python -m tests.molecule --images
molecule: setup ## whole hosts in containers: systemd, SSH, Debian's PostgreSQL 13, 15 and 17
	@.venv/bin/python -m tests.molecule $(if $(SCENARIO),--scenario $(SCENARIO)) -- $(STEP)

.PHONY: demo
demo: setup ## lose a database and get it back, on a throw-away server
	@.venv/bin/python -m tests.demo

# One benchmark and its options: make bench BENCH_ARGS='setup-archiving --clusters 1,10'
BENCH_ARGS ?=
.PHONY: bench
bench: setup ## measure on throw-away servers, and write pages to docs/benchmarks
	@PYTHONPATH=.build/collections .venv/bin/python -m tests.bench $(BENCH_ARGS)

.PHONY: clean
clean: ## remove what the targets made, .venv included
	rm -rf .build .venv .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
