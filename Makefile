# Every target creates the virtual environment .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Number of test files that run in parallel; each file runs in one process with its own cluster.
PYTEST_JOBS ?= 2
PYTEST := -m pytest --numprocesses=$(PYTEST_JOBS) --dist=loadfile

.PHONY: build demo test test-quick test-oldest search mutants lint docs bench bench-peers bench-regressions paper clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[cli,demo]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/.bench: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(VENV)/.docs: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

build: $(BIN)/python  ## a wheel and a source archive in dist/, checked, and the wheel installed and used in a new environment
	rm -rf dist $(VENV)-wheel
	$(BIN)/python -m pip install --quiet build twine
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet "$$(ls $(CURDIR)/dist/*.whl)[cli]"
	cd $(CURDIR)/dist && $(CURDIR)/$(VENV)-wheel/bin/dask-onestep --version
	cd $(CURDIR)/dist && $(CURDIR)/$(VENV)-wheel/bin/python -c "from dask_onestep import GLMRegressor; from dask_onestep.datasets import make_glm; \
	  X, y, _ = make_glm(1000, 2); print(GLMRegressor().fit(X, y).summary())"

demo: $(VENV)/.demo  ## fit flight delays on a local cluster and compare with the MLE
	$(BIN)/dask-onestep demo

test: $(VENV)/.dev  ## all tests and doctests
	$(BIN)/python $(PYTEST)

# No cluster is started, so that files may be divided among the processes, each with one thread of BLAS.
test-quick: $(VENV)/.dev  ## without slow tests and doctests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(PYTEST_JOBS) --dist=worksteal -m "not slow" tests

test-oldest: tests/oldest.txt  ## all tests with the oldest supported dependencies
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --constraint tests/oldest.txt --editable '.[dev]'
	$(VENV)-oldest/bin/python $(PYTEST)

mutants: $(VENV)/.dev  ## small changes of MODULES, one in EVERY=40 of them, that tests do not notice; EVERY=1 takes days
	$(BIN)/python -m pip install --quiet 'coverage>=7.6'
	$(BIN)/python tests/mutants.py $(MODULES) --every $(or $(EVERY),40)

search: $(VENV)/.dev  ## 20,000 random fits of unusual data, and 20,000 tables compared with R's rules, different each time
	$(BIN)/python -m pytest tests/hostile/test_search.py tests/hostile/test_tables.py --hypothesis-profile=search --timeout=0

lint: $(VENV)/.dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

paper: $(VENV)/.bench  ## the article's simulation tables, few replicates, and its flights table
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.paper --replicates $(or $(B),20) --rows 10000
	$(BIN)/python -m benchmarks.paper.table6 --flights --pilot-share 0.01

bench: $(VENV)/.bench  ## all methods and other libraries on the same rows; QUICK=1 takes minutes, RESUME=1 continues an interrupted run
	$(BIN)/python -m benchmarks.speed $(if $(QUICK),--quick) $(if $(RESUME),--resume)

bench-regressions: $(VENV)/.bench  ## CPU time of kernels and task counts of HEAD compared with BASE (default HEAD~1); fails if one is worse by a fifth
	$(BIN)/asv --config benchmarks/asv/asv.conf.json machine --yes
	$(BIN)/asv --config benchmarks/asv/asv.conf.json continuous --factor 1.2 --split --interleave-rounds $(or $(BASE),HEAD~1) HEAD

# duckreg 0.4 calls, by ibis, a function that duckdb 2 no longer has.
bench-peers:  ## Spark, H2O, dask-ml and duckreg for `make bench`, each in its own environment; needs Java
	for peer in pyspark h2o dask_ml duckreg; do \
	  $(PYTHON) -m venv .venv-peers/$$peer && .venv-peers/$$peer/bin/pip install --quiet $$peer 'duckdb<2' numpy pandas pyarrow || exit 1; \
	done

docs: $(VENV)/.docs  ## the site, every example executed, in docs/_build/html
	$(BIN)/python -m sphinx -b html --jobs auto --fail-on-warning --keep-going --nitpicky docs docs/_build/html

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-wheel .venv-peers docs/_build docs/reference/generated docs/_static/generated dist
