# Everything that is installed, downloaded or built stays inside this folder: .venv, .cache, src/railtrack/_ui.
# Needs python3 >= 3.11 and make. Another interpreter: make PYTHON=python3.13 serve

PYTHON ?= python3
UV := .cache/uv-0.13.9/uv
UI := src/railtrack/_ui/files.json

CLIENTS := 3.18.0 3.17.2 3.1.0 2.22.0 2.9.2
VENVS := $(CLIENTS:%=.cache/client-%/.ready) .cache/mlflow/.ready .cache/mlflow-3.18.0/.ready .cache/frameworks/.ready .cache/backend/.ready .cache/helm/.ready

# Versions of MLflow that fill the databases of tests/db/old_databases.
OLD_MLFLOWS := 2.9.2 2.14.3 2.22.0 3.1.0 3.10.0 3.16.1 3.17.2

export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export UV_PYTHON := $(PYTHON)
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1
# The certificates that this machine trusts, as its other programs do, not a list of uv's own.
export UV_SYSTEM_CERTS ?= 1
unexport VIRTUAL_ENV

.PHONY: help serve install test test-fast coverage fuzz image-test test-outages test-examples bench bench-artifacts bench-calls soak hostile dist lint lint-backend format docs compat-record old-databases lock clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

serve: install ## Run the server on http://127.0.0.1:5000 (PORT=5001 for another port), with SQLite in ./railtrack-data
	@exec .venv/bin/railtrack server $(if $(PORT),--port $(PORT))

install: .venv/.installed $(UI) ## Install the command .venv/bin/railtrack

# Tests in processes of pytest-xdist, one for each core. A worker that runs out of tests takes some of another's.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal

# Tests that bind port 443 run as root only.
NOT_ROOT := $(if $(filter 0,$(shell id -u)),, and not root)

ifdef FILE
test: .venv/.installed-dev $(UI)
	.venv/bin/pytest $(FILE)
else
test: lint lint-backend $(VENVS) .cache/.programs ## Run the linter, the type checker and all tests; FILE=tests/... runs some tests only
	.venv/bin/pytest $(PARALLEL) -m "not alone and not browser$(NOT_ROOT)"
	.venv/bin/pytest $(PARALLEL) --dist loadfile -m "not alone" tests/ui
	.venv/bin/pytest -m alone
	@$(if $(NOT_ROOT),echo "Tests that bind port 443 were not run: that takes root." >&2,:)
	@if tools/get_image_programs; then $(MAKE) --no-print-directory image-test; else \
	    echo "tests/image was not run, for the reason above: the rest passed." >&2; fi
endif

test-fast: .venv/.installed-dev $(UI) ## Run the tests that need nothing but Python and SQLite: about a minute and a half on two cores
	.venv/bin/pytest $(PARALLEL) -m "not alone and not browser and not mlflow and not postgresql and not root and not slow"
	@echo "Not run: tests on PostgreSQL, with MLflow and its clients, with a browser, of faults under load, of the image,"
	@echo "and tests that start servers or wait for time limits. \`make test\` runs them all."

# Measuring makes everything slower, so tests that measure time or memory themselves are left out.
coverage: export COVERAGE_FILE := $(CURDIR)/.cache/coverage/data
coverage: .venv/.installed-dev $(UI) $(VENVS) .cache/.programs ## Measure which lines and branches the tests run
	rm -rf .cache/coverage
	.venv/bin/coverage run -m pytest $(PARALLEL) -m "not alone and not browser$(NOT_ROOT)"
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage html --quiet --directory .cache/coverage/html
	.venv/bin/coverage report
	@echo "Every line: .cache/coverage/html/index.html"

fuzz: export RAILTRACK_FUZZ_SECONDS ?= 240
fuzz: export RAILTRACK_FUZZ_SEED := $(or $(RAILTRACK_FUZZ_SEED),$(shell date +%s))
fuzz: .venv/.installed-dev ## Compare for four minutes how the server, llhttp and h11 read mutated requests
	@echo "RAILTRACK_FUZZ_SEED=$(RAILTRACK_FUZZ_SEED)"
	.venv/bin/pytest tests/fuzz/test_http_parsing.py

image-test: .venv/.installed-dev .cache/client-3.17.2/.ready ## Build the container image and test it, as root on Debian
	@tools/get_image_programs
	.venv/bin/pytest tests/image

test-outages: .venv/.installed-dev $(UI) $(VENVS) .cache/.programs ## Run clients through outages of minutes; figures go to docs/outages.md
	.venv/bin/pytest tests/clients/outages/long

test-examples: .venv/.installed-dev $(UI) .cache/examples/.ready ## Run the trainings of examples/ through outages, most of an hour; results go to docs/training.md
	@tools/get_programs chromium
	.venv/bin/pytest tests/examples/trainings

bench: .venv/.installed-dev $(UI) .cache/mlflow/.ready .cache/fasttrackml/.ready ## Measure speed and memory of Railtrack, MLflow and FastTrackML
	@tools/get_programs wrk
	.venv/bin/python -m bench.run --mlflow .cache/mlflow/bin/python --fasttrackml .cache/fasttrackml/bin/fml $(BENCH)

soak: .venv/.installed-dev .cache/mlflow/.ready ## Ten minutes of load on the image in 512 MB, as root on Debian
	@tools/get_image_programs
	.venv/bin/python -m bench.soak --mlflow .cache/mlflow/bin/python

SERVER ?= railtrack
SECONDS ?= 60
hostile: .venv/.installed-dev $(UI) $(if $(filter mlflow,$(SERVER)),.cache/mlflow/.ready) ## Attack the server in 512 MB for half an hour, as root on Linux; ONLY=unread SECONDS=10 for less, SERVER=mlflow for MLflow
	.venv/bin/python -m bench.hostile --server $(SERVER) --seconds $(SECONDS) $(if $(ONLY),--only '$(ONLY)') $(HOSTILE)

bench-artifacts: .venv/.installed-dev $(UI) .cache/mlflow/.ready .cache/client-3.17.2/.ready ## Measure artifacts in S3
	.venv/bin/python -m bench.artifacts --mlflow .cache/mlflow/bin/python --client .cache/client-3.17.2/bin/python

bench-calls: .venv/.installed-dev $(UI) .cache/mlflow/.ready .cache/client-3.17.2/.ready ## Measure what calls of the client take
	.venv/bin/python -m bench.calls --mlflow .cache/mlflow/bin/python --client .cache/client-3.17.2/bin/python

dist: .venv/.installed-dev $(UI) ## Build the sdist and the wheel into dist/, both with the web interface
	rm -rf dist
	$(UV) build --quiet
	@ls -l dist/*.*

lint: .venv/.installed-dev $(UI) ## Check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check --quiet
	.venv/bin/mypy

lint-backend: .venv/.installed-dev .cache/backend/.ready ## Check the types of examples/backend, with the packages that it uses
	MYPYPATH=examples/backend .venv/bin/mypy --python-executable .cache/backend/bin/python $(wildcard examples/backend/*.py)

format: .venv/.installed-dev ## Format the code
	.venv/bin/ruff check --fix --quiet
	.venv/bin/ruff format --quiet

docs: .venv/.installed ## Update the pages of docs/ that are generated from the code
	.venv/bin/python -m tools.write_docs

compat-record: .venv/.installed-dev .cache/mlflow/.ready .cache/mlflow-3.18.0/.ready ## Record MLflow's responses for tests/compat again
	.venv/bin/python -m tests.compat.record --mlflow .cache/mlflow-3.18.0/bin/python
	.venv/bin/python -m tests.compat.record --mlflow .cache/mlflow/bin/python --before 3.17.2
	.venv/bin/python -m tests.compat.security.record --python .cache/mlflow-3.18.0/bin/python \
	    3.17.2=.cache/mlflow 3.18.0=.cache/mlflow-3.18.0
	.venv/bin/python -m tests.db.record_catalogue
	.venv/bin/python -m tests.db.record_urls

old-databases: .venv/.installed-dev $(OLD_MLFLOWS:%=.cache/mlflow-%/.ready) .cache/mlflow-3.18.0/.ready ## Fill databases by old versions of MLflow again, for tests/db/upgrade
	.venv/bin/python -m tests.db.old_databases.record

lock: $(UV) ## Update all pinned dependencies, including those of MLflow and its clients
	$(UV) lock --upgrade
	for venv in tools/venvs/*.in; do \
	    $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-header \
	        "$$venv" --output-file "$${venv%.in}.txt" || exit; done

clean: ## Remove what make installed and built; keep ./railtrack-data
	rm -rf .venv .cache dist src/railtrack/_ui
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV): tools/get_uv.py
	@$(PYTHON) -I tools/get_uv.py $(@D)
	@touch $@

SYNC := $(UV) sync --frozen --inexact --quiet

.venv/.installed: $(UV) uv.lock pyproject.toml build_ui.py
	@echo "Installing Railtrack into .venv; the first time, this takes about half a minute besides the downloads."
	@$(SYNC) --no-dev
	@touch $@

.venv/.installed-dev: .venv/.installed
	@$(SYNC)
	@touch $@

# The build hook writes it with the package; only a folder that somebody removed has to be made again.
$(UI): .venv/.installed
	@test -f $@ || $(SYNC) --no-dev --reinstall-package railtrack
	@touch $@

# MLflow itself, its clients, and Helm, each in its own environment: what the tests compare and drive us with.
.cache/%/.ready: tools/venvs/%.txt $(UV)
	$(UV) venv --quiet --clear $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --requirement $<
	@touch $@

# mlflow-skinny and mlflow-tracing 3.18.0 are not in every package index; mlflow's own wheel contains the code of both,
# and needs what 3.17.2 needs.
.cache/client-3.18.0/.ready: tools/venvs/client-3.17.2.txt $(UV)
.cache/mlflow-3.18.0/.ready: tools/venvs/mlflow.txt $(UV)
.cache/client-3.18.0/.ready .cache/mlflow-3.18.0/.ready:
	$(UV) venv --quiet --clear $(@D)
	grep -vE '^mlflow(-skinny|-tracing)?==' $< | $(UV) pip install --quiet --python $(@D)/bin/python --requirement -
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps mlflow==3.18.0
	@touch $@

# The frameworks of the examples, with pip as their users install them. Builds for the CPU save 5 GB of CUDA packages;
# where their index cannot be reached, the packages of PyPI do.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
.cache/examples/.ready: examples/requirements.txt
	@test -x $(@D)/bin/pip || $(PYTHON) -m venv $(@D)
	@grep '^torch' $< >$(@D)/torch.txt
	@$(@D)/bin/pip install --quiet --retries 0 --index-url $(TORCH_INDEX) --requirement $(@D)/torch.txt || \
	    echo "$(TORCH_INDEX) has no torch for this machine: taking it from the usual index." >&2
	$(@D)/bin/pip install --quiet --requirement $<
	@touch $@

# Only what an old MLflow needs to fill a database: its wheel has no pins, and later libraries break it.
OLD_REQUIREMENTS := "sqlalchemy<2.1" "alembic<1.17" psycopg2-binary "pandas<3" "numpy<2.4" "setuptools<81" "flask<3.2" \
    querystring_parser "opentelemetry-sdk<1.31" "opentelemetry-api<1.31"
$(OLD_MLFLOWS:%=.cache/mlflow-%/.ready): .cache/mlflow-%/.ready: $(UV)
	$(UV) venv --quiet --clear $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python "mlflow-skinny==$*" $(OLD_REQUIREMENTS)
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps "mlflow==$*"
	@touch $@

# One program in Go; what its package depends on is for its Python parts, which are not used.
.cache/fasttrackml/.ready: $(UV)
	$(UV) venv --quiet --clear $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps fasttrackml==0.6.0
	@touch $@

.cache/.programs: tools/get_programs
	@tools/get_programs
	@touch $@
