# Everything a new clone needs: Python 3.11 or newer with its venv module, and make. No root, no server.
#
#   make demo          the whole path on this machine, against simulated upstreams (ARGS="--help")
#   make test          the tests (ARGS="tests/unit -k token")
#   make simulate      every crash of every story, and SEEDS=100000 more runs (SEED=17: that one again, with its log)
#   make chaos         everything that can be done to it, in full size: some hours (CHAOS=small: some minutes)
#   make availability  two of everything, each killed and cut off; half an hour, as root
#   make matrix        the same tests beside every broker and database (ARGS="Valkey RabbitMQ"); an hour or so
#   make fuzz          100,000 inputs to where telcos call; some minutes
#   make bench         how fast it is, beside others in the same run (ARGS="--size tiny"); half an hour a round
#   make lint          formatting, types, layers
#   make test-all      the tests, and again on Python 3.11 and 3.13 where they are here
#   make audit         known vulnerabilities of what is installed from the lock
#   make release       wheel, source archive, bill of materials and checksums of the last commit, into dist
#   make pictures      pictures of every page of the console, into deploy/console
#   make lock          resolve the dependencies anew (UPGRADE=1: to their newest releases)
#   make clean         remove what these made
#
# PYTHON=/path/to/python chooses the interpreter of a virtual environment that is yet to be made.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Where it is set, as in many containers, each of our many processes would compile every package anew: 2.3 s for 0.8 s.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test test-all test-others simulate chaos availability matrix fuzz bench pictures lint audit release lock clean

ARGS ?=
VENV ?= .venv
PYTHON ?=
RUNTIME := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-dev

# A name on the PATH is not enough: version managers leave names that do not run, Debian a Python without venv.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYENV := $(wildcard $(HOME)/.pyenv/versions/3.1[1-9]*/bin/python)
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python $(PYENV))

define find-python
found=; for python in $(1); do \
  if "$$python" -c '$(USABLE)' >/dev/null 2>&1; then found=$$python; break; fi; \
done
endef

define make-venv
if ! "$(VENV)/bin/python" -c 'import pip' >/dev/null 2>&1; then \
  $(call find-python,$(CANDIDATES)); \
  if [ -z "$$found" ]; then \
    echo "Trunkline needs Python 3.11 or newer with its venv module; tried: $(CANDIDATES)." >&2; \
    echo "Install one (on Debian and Ubuntu: python3 and python3-venv), or say which: make PYTHON=/path/to/python" >&2; \
    exit 1; \
  fi; \
  "$$found" -m venv --clear "$(VENV)"; \
fi
endef

# Every package, the build's too, comes from the lock by hash; the project itself is linked, not copied.
PIP := "$(VENV)/bin/python" -m pip --disable-pip-version-check --quiet

# The interpreter that a virtual environment was made from can be gone after an upgrade: then begin again.
$(shell [ -x "$(VENV)/bin/python" ] || rm -f "$(RUNTIME)" "$(DEVELOPMENT)")

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

$(RUNTIME): requirements.lock pyproject.toml
	@$(make-venv)
	@echo "installing into $(VENV)"
	@$(PIP) install --no-compile --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVELOPMENT): requirements-dev.lock $(RUNTIME)
	@echo "installing what the tests need into $(VENV)"
	@$(PIP) install --no-compile --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

demo: $(RUNTIME)
	@"$(VENV)/bin/trunkline" demo $(ARGS)

# Several at once, each with servers of its own: most of their time they wait for something to be over.
CHAOS_TESTS = "$(VENV)/bin/python" -m pytest tests/chaos --numprocesses=$(or $(JOBS),3)

# Those of chaos come last and alone: they need the machine's time to themselves.
test: $(DEVELOPMENT)
ifeq ($(strip $(ARGS)),)
	@"$(VENV)/bin/python" -m pytest --numprocesses=auto --maxprocesses=4 --ignore=tests/chaos
	@$(CHAOS_TESTS) --dist=loadfile
else
	@"$(VENV)/bin/python" -m pytest --numprocesses=auto --maxprocesses=4 $(ARGS)
endif

test-all: test-others test

# On the other supported Pythons that are here; the virtual environment's own is not tested twice.
test-others: $(DEVELOPMENT)
	@for version in 3.11 3.13; do \
	  if "$(VENV)/bin/python" -V | grep -qF "Python $$version."; then continue; fi; \
	  $(call find-python,python$$version "$$HOME"/.pyenv/versions/$$version.*/bin/python); \
	  if [ -z "$$found" ]; then echo "Python $$version: not here, so not tested"; continue; fi; \
	  echo "Python $$version:"; \
	  $(MAKE) --no-print-directory test VENV=".venv-$$version" PYTHON="$$found" || exit 1; \
	done

# What a failing run prints is a command for this: SEED=… [FROZEN=1], or STORY='…' CRASH=3,9 or FREEZE=12:400.
simulate: $(DEVELOPMENT)
	@"$(VENV)/bin/python" -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(JOBS),--jobs $(JOBS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(FROZEN),--frozen) $(if $(STORY),--story '$(STORY)') \
	  $(if $(CRASH),--crash $(CRASH)) $(if $(FREEZE),--freeze $(FREEZE)) $(ARGS)

# The table is written also where a test failed: it says which. With ARGS the rows of those tests are made anew.
chaos: $(DEVELOPMENT)
	@$(if $(strip $(ARGS)),,rm -f .chaos.jsonl)
	@status=0; $(CHAOS_TESTS) --dist=load --maxschedchunk=1 \
	  --chaos=$(or $(CHAOS),full) --chaos-report=.chaos.jsonl $(ARGS) || status=$$?; \
	mkdir -p deploy; "$(VENV)/bin/python" -m tests.chaos.report .chaos.jsonl > deploy/proof.md; \
	echo "the table is in deploy/proof.md"; exit $$status

availability: $(DEVELOPMENT)
	@rm -f .availability.jsonl
	@"$(VENV)/bin/python" -m pytest --chaos=full --chaos-report=.availability.jsonl \
	  tests/chaos/test_available.py tests/chaos/test_standby.py tests/chaos/test_restore.py
	@"$(VENV)/bin/python" -m tests.chaos.report --availability .availability.jsonl > deploy/availability.md

# The page is written also where a test failed: it says which. With ARGS those rows are made anew.
matrix: $(DEVELOPMENT)
	@status=0; "$(VENV)/bin/python" -m tests.matrix $(ARGS) > .matrix.md || status=$$?; \
	mv .matrix.md deploy/matrix.md; echo "the page is in deploy/matrix.md"; exit $$status

fuzz: $(DEVELOPMENT)
	@"$(VENV)/bin/python" -m pytest tests/integration/test_fuzz.py --chaos=full $(ARGS)

# Table, pictures and figures for programs go to .bench; table and pictures of a whole run are shown in deploy.
bench: $(DEVELOPMENT)
	@"$(VENV)/bin/python" -m tests.bench $(ARGS)
	@$(if $(strip $(ARGS)),,cp .bench/table.md deploy/bench.md && cp .bench/picture.png deploy/bench.png \
	  && cp .bench/limits.png deploy/limits.png)

# With Debian's Chromium, or any that is on the PATH.
pictures: $(DEVELOPMENT)
	@"$(VENV)/bin/python" -m pytest tests/browser/pictures.py

lint: $(DEVELOPMENT)
	@"$(VENV)/bin/ruff" check
	@"$(VENV)/bin/ruff" format --check
	@"$(VENV)/bin/mypy" --strict
	@"$(VENV)/bin/lint-imports" --no-logo

# One resolution for every Python and platform; no address and no path of this machine goes into it.
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-config --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

lock: VENV = .venv-lock
lock:
	@$(make-venv)
	@.venv-lock/bin/python -m pip --disable-pip-version-check --quiet install uv
	@$(COMPILE) --output-file requirements.lock --group build pyproject.toml
	@$(COMPILE) --output-file requirements-dev.lock --constraint requirements.lock --group dev pyproject.toml

# Strict: a package of which nobody knows anything is a finding too.
audit: $(DEVELOPMENT)
	@"$(VENV)/bin/pip-audit" --strict --disable-pip --require-hashes -r requirements.lock

# From the commit alone, so that whoever builds it again gets the same bytes.
release: SOURCE := dist/source
release: $(DEVELOPMENT)
	@rm -rf dist && mkdir -p $(SOURCE)
	@git archive HEAD | tar -x -C $(SOURCE)
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) "$(VENV)/bin/python" -m build --no-isolation --outdir dist $(SOURCE) \
	  >/dev/null
	@"$(VENV)/bin/python" -W ignore -m cyclonedx_py requirements --output-reproducible --pyproject pyproject.toml \
	  --output-file dist/sbom.cdx.json $(SOURCE)/requirements.lock
	@rm -rf $(SOURCE) && cd dist && sha256sum trunkline* sbom* | tee SHA256SUMS

clean:
	rm -rf .venv .venv-* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find models worker webhook_receiver tests -name __pycache__ -prune -exec rm -rf {} +
