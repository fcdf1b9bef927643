# highgamma: `make demo` runs the demo, `make test` runs every test.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.DEFAULT_GOAL := help
.PHONY: help environment demo test lint bench bench-graph bench-scaling noise-study snakemake-versions fuzz faults reference clean

help: ## say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

environment: $(VENV)/.complete ## make the environment in .venv

$(VENV)/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "highgamma needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making the environment in $(VENV) (a few minutes, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,test]'
	@touch $@

demo: environment ## write the demo data set, run everything on it, make the report
	@$(SNAKEMAKE)
	@echo "The report is at $(CURDIR)/results/demo/report.html"

# Slurm's tests mostly wait: one process more than there are cores.
test: environment lint ## run all tests
	@$(BIN)/python -m pytest -n $$(($(CORES) + 1)) --dist loadfile --no-loadscope-reorder --durations 15

lint: environment ## check style, types and workflow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/snakemake --lint

bench: environment ## measure speed and memory against other software (long)
	@$(BIN)/python -m benchmarks

noise-study: environment ## run the published study on pure noise, time and judge it (long)
	@$(BIN)/python -m benchmarks.noise_study --cores $(CORES)

bench-graph: environment ## measure how long the plan of a large study takes (long)
	@$(BIN)/python -m benchmarks.graph

bench-scaling: environment ## run one study with 1, 2 and 4 jobs at once, here and under Slurm (long)
	@$(BIN)/python -m benchmarks.scaling

snakemake-versions: environment ## run with the least and the newest Snakemake, and compare (long)
	@$(BIN)/python -m benchmarks.versions

fuzz: environment ## give damaged bytes to whatever reads foreign ones (long)
	@$(BIN)/python -m benchmarks.fuzz

faults: environment ## kill the demo at random times, and compare what comes out (long)
	@$(BIN)/python -m benchmarks.faults

reference: environment ## write the schema and the reference pages from the declarations
	@$(BIN)/python -m highgamma.documentation .

clean: ## remove the demo's data and results, and those of the study on noise
	rm -rf resources/demo results/demo resources/noise results/paper-noise .snakemake
