# The two commands: `make course` runs the course, `make test` tests it. Both set up .venv first.
# The virtual environment is named by relative path: this folder's own path may hold spaces.
PYTHON ?= python3
BIN = .venv/bin
# Where the notebooks keep their runs while they are tested.
NBVAL_RUNS ?= $(CURDIR)/runs/nbval
# Which notebooks `make store` runs.
PAGES ?= notebooks/*.ipynb

.PHONY: course test lab book data check paper store install

course: install
	$(BIN)/python -m course_lib run --preset quick

test: .venv/installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/python -m pytest -m slow
	COURSE_DATA="$(CURDIR)/tests/no-data" COURSE_STAND_INS=1 COURSE_RUNS="$(NBVAL_RUNS)" $(BIN)/python -m pytest -p nbval \
		--nbval --nbval-current-env --nbval-cell-timeout=300 \
		--nbval-sanitize-with tests/nbval.cfg notebooks

lab: install
	$(BIN)/python -m course_lib start work
	$(BIN)/python -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir=. work/00_start.ipynb

# The book of the notebooks as they are stored, without running them.
book: install
	$(BIN)/python -m course_lib book

# The paper's images, from their servers.
data: install
	$(BIN)/python -m course_lib data

check: install
	$(BIN)/python -m course_lib check

# The paper's 17 experiments and our own arms, at the paper's size: an hour or more.
paper: install
	$(BIN)/python -m course_lib study --preset paper

# For authors: mark exercises and checks for nbgrader, run the notebooks on the bundled data and store
# their outputs in them.
store: install
	$(BIN)/python -m course_lib marks
	COURSE_DATA="$(CURDIR)/tests/no-data" COURSE_STAND_INS=1 COURSE_RUNS="$(CURDIR)/runs/store" $(BIN)/python -m nbconvert --to notebook \
		--execute --inplace --ExecutePreprocessor.record_timing=False \
		--ExecutePreprocessor.store_widget_state=False $(PAGES)
	# What a cell printed, in one piece. nbconvert does this before it executes: hence by itself.
	$(BIN)/python -m nbconvert --to notebook --inplace --coalesce-streams $(PAGES)

install: .venv/installed

# Installs again only when pyproject.toml has changed since the last time.
.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "The course needs Python 3.10 or newer, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch .venv/installed

# What the tests need besides stays out of a student's JupyterLab.
.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch .venv/installed-test
