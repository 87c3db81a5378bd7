# HQTrack for VOT. This file only sets up the environment and passes variables on:
# all logic is in Python (`python -m tracker --help`).

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.ready
REQUIREMENTS := .ci/requirements.txt

TRACKER ?= HQTrack
SEQUENCES ?=
RESULTS ?=
STACK ?=
FORCE ?=
# values of FORCE that mean: do not
OFF := 0 no No NO off Off OFF false False FALSE
# not from the environment: build servers set a WORKSPACE of their own
WORKSPACE :=
NAMES ?=
CASE ?=
ARGS ?=

WHERE = $(if $(and $(RESULTS),$(filter file,$(origin TRACKER))),,--tracker "$(TRACKER)") \
	$(if $(SEQUENCES),--sequences "$(SEQUENCES)") $(if $(STACK),--stack "$(STACK)") $(if $(WORKSPACE),--workspace "$(WORKSPACE)")

.DEFAULT_GOAL := help
.PHONY: setup evaluate analysis report view pictures submit test demo weights bench train eval-vos \
	parity web lint \
	clean stop doctor help

help:
	@echo "HQTrack for the VOT toolkit"
	@echo
	@echo "  make evaluate    set up, make the demo data, run the VOT toolkit, print the scores"
	@echo "  make analysis    scores of finished results, as a table, JSON and CSV"
	@echo "  make report      the toolkit's report (one HTML file), and the page of make view beside it"
	@echo "  make view        a page to look at results: plots, videos, the worst frames first"
	@echo "                   (RESULTS=folder of \`python -m tracker run\`, with ARGS=\"--frames video\")"
	@echo "  make pictures    a strip of frames and a plot, beside the report (for those of the README:"
	@echo "                   TRACKER=HQTrackLite ARGS=\"--out docs/images\")"
	@echo "  make submit      check the results, pack them, verify the zip"
	@echo
	@echo "    TRACKER=HQTrackLite   the tracker, a section of trackers.ini (default HQTrack)"
	@echo "    SEQUENCES=path        your own data: a VOT data set, a DAVIS folder, or folders of"
	@echo "                          frames and indexed masks; results go to runs/<name>"
	@echo "    STACK=vots2023        a challenge stack of the toolkit: vots2023, vots2024/main,"
	@echo "                          vots2025/main, vots2026/main ...; results go to runs/<stack>,"
	@echo "                          with SEQUENCES to runs/<name>-<stack>"
	@echo "    WORKSPACE=folder      a workspace of your own"
	@echo "                          (analysis, report, view, submit: the same variables again)"
	@echo "    FORCE=1               throw old results of this tracker away and run again"
	@echo
	@echo "  make weights     download and check the official weights (NAMES=\"file ...\" for others)"
	@echo "  make demo        make the demo data only"
	@echo "  make bench       speed and memory, a quick run (ARGS=... for others)"
	@echo "  make train       train by a recipe (ARGS=...)"
	@echo "  make eval-vos    J&F on videos with masks (ARGS=...)"
	@echo "  make parity      compare with a recording of the reference (CASE=file.npz)"
	@echo "  make web         a page to track objects in your own video (ARGS=\"--folder videos\")"
	@echo "  make doctor      check the installation, say what to do about faults"
	@echo "  make stop        stop the resident servers"
	@echo
	@echo "  make setup       make .venv (needs python3 >= 3.11; other targets do it by themselves)"
	@echo "  make test        the tests (ARGS=\"-k name\")"
	@echo "  make lint        ruff check and format check"
	@echo "  make clean       remove what was made in vot_workspace, and caches;"
	@echo "                   keeps packed entries, runs/, weights/ and .venv"

setup: $(STAMP)

$(VENV)/.ready: $(REQUIREMENTS) Makefile
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON3=/path/to/python3 setup"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON3) -m venv $(VENV) || \
		{ echo "python3 -m venv failed (on Debian and Ubuntu: apt-get install python3-venv)"; \
		  rm -rf $(VENV); exit 1; }
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(VENV)/bin/python -m ensurepip
	@test -x $(VENV)/bin/uv || $(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv pip install --python $(VENV)/bin/python -r $(REQUIREMENTS)
	$(VENV)/bin/uv pip install --python $(VENV)/bin/python --no-deps --editable .
	@touch $@

evaluate: $(STAMP)
	$(PYTHON) -m tracker evaluate $(WHERE) $(if $(filter-out $(OFF),$(FORCE)),--force) $(ARGS)

analysis: $(STAMP)
	$(PYTHON) -m tracker scores $(WHERE) $(ARGS)

report: $(STAMP)
	$(PYTHON) -m tracker view --report $(WHERE) $(ARGS)

view: $(STAMP)
	$(PYTHON) -m tracker view $(if $(RESULTS),"$(RESULTS)") $(WHERE) $(ARGS)

pictures: $(STAMP)
	$(PYTHON) -m tracker pictures $(WHERE) $(ARGS)

submit: $(STAMP)
	$(PYTHON) -m tracker submit $(WHERE) $(ARGS)

demo: $(STAMP)
	$(PYTHON) -m tracker demo $(ARGS)

weights: $(STAMP)
	$(PYTHON) -m tracker weights $(NAMES) $(ARGS)

bench: $(STAMP)
	$(PYTHON) -m tracker bench $(or $(ARGS),--quick)

train: $(STAMP)
	$(PYTHON) -m tracker train $(ARGS)

eval-vos: $(STAMP)
	$(PYTHON) -m tracker eval $(ARGS)

parity: $(STAMP)
	$(PYTHON) -m tracker parity $(if $(CASE),"$(CASE)") $(ARGS)

web: $(STAMP)
	$(PYTHON) -m tracker web $(ARGS)

# needs no environment: a broken one is what it looks at
doctor:
	@$$(command -v $(PYTHON) || echo $(PYTHON3)) -m tracker doctor $(ARGS)

stop: $(STAMP)
	$(PYTHON) -m tracker stop $(ARGS)

# one thread for each process: they would slow each other down
test: $(STAMP)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

clean:
	rm -rf vot_workspace/sequences vot_workspace/results vot_workspace/analysis \
		vot_workspace/reports vot_workspace/cache vot_workspace/logs \
		build .pytest_cache .ruff_cache .hypothesis
	find tracker tests -name __pycache__ -type d -prune -exec rm -rf {} +
