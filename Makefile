# Every command a person needs. `make` lists them; settings are in everstay.toml.

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.installed
PYTHON  ?= python3
SOURCES := src flows tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help campaign tune train score explain preview ingest features deploy ui churn-definition back-test prove-as-of rollback test check format docs bench clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt 'pip>=25.1'
	$(BIN)/pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $@

train: $(READY)  ## from the source's events to two champion models and published lists (the main job)
	$(BIN)/python -m flows.retention_pipeline

score: $(READY)  ## publish who is about to leave and what each user wants next, by the champions
	$(BIN)/python -m flows.score_users

explain: $(READY)  ## why one user scores as they do, and what would change it (USER=1234)
	$(BIN)/python -m everstay.scoring "$(if $(filter command line,$(origin USER)),$(USER))"

campaign: $(READY)  ## whom to show ITEMS=id,id (or CATEGORY=name): the USERS=100 who want them most, as CSV
	$(BIN)/python -m flows.find_users $(if $(ITEMS),--items $(ITEMS)) $(if $(CATEGORY),--category '$(CATEGORY)') --users $(or $(USERS),100)

preview: $(READY)  ## show what would be read, and whether it is enough, before anything is stored (SOURCE=settings.toml)
	$(if $(SOURCE),EVERSTAY_SETTINGS='$(SOURCE)') $(BIN)/python -m everstay.preview

ingest: $(READY)  ## only read the source into the event lake
	$(BIN)/python -m flows.ingest_events

features: $(READY)  ## only build the features and labels
	$(BIN)/python -m flows.build_features

tune: $(READY)  ## search for better settings of MODEL=sequential (or churn.network ...) in TRIALS=20, on validation; written, not applied
	$(BIN)/python -m flows.tune_model $(or $(MODEL),sequential) --trials $(or $(TRIALS),20)

deploy: $(READY)  ## Prefect server, deployments with their schedules, and a worker (Ctrl-C stops them)
	$(BIN)/python -m flows.deployments

ui: $(READY)  ## compare the models in a browser: the MLflow UI on this project's store (Ctrl-C stops it)
	$(BIN)/python -m everstay.registry ui

churn-definition: $(READY)  ## how long people wait between orders, and what that means for 30, 60 and 90 days
	$(BIN)/python -m flows.churn_definition

back-test: $(READY)  ## the warnings of every publication, and what happened since
	$(BIN)/python -m flows.back_test

prove-as-of: $(READY)  ## prove on a sample of the lake that what comes later changes nothing
	$(BIN)/python -m flows.prove_as_of

rollback: $(READY)  ## restore the previous champion of MODEL=churn or MODEL=recommender
	$(BIN)/python -m everstay.registry rollback $(MODEL)

test: $(READY)  ## all tests
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY)  ## format, lint, types, import contracts
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## write the format that check expects
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: $(READY)  ## write docs/features.md and the features' ranges in expectations/ from their declarations
	$(BIN)/python -m everstay.features

bench: $(READY)  ## the benchmarks on the default data: steps, recommendation and churn quality
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.churn_quality
	$(BIN)/python -m benchmarks.recommendation_quality

clean:  ## remove the environment, and the lake, models and reports where they lie by default
	rm -rf $(VENV) data reports .prefect benchmarks/.peers benchmarks/.recommender_peers benchmarks/results
	find mlruns -mindepth 1 ! -name README.md -delete
