# Staffetta: what there is to run. `make` alone lists it.

CARGO ?= cargo
TOOLS := $(CURDIR)/.tools
VENV := $(CURDIR)/.venv
PYTHON := $(VENV)/bin/python3
DENY := $(TOOLS)/bin/cargo-deny
DENY_VERSION := 0.20.2

export STAFFETTA_PYTHON := $(PYTHON)

.PHONY: help
help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: ## Runs the main job on embedded defaults and shows each step.
	$(CARGO) run --release -- demo

.PHONY: test
test: setup ## Installs what the tests need, then runs every test.
	$(CARGO) test --locked --workspace --all-targets

.PHONY: prove
prove: setup ## The long runs: 200 kills, 20,000 power-cut images, 300 kills of Redis, 20,000 idle sockets, all time zones, more property cases, an hour of simulated weeks. About three hours.
	tests/prove

.PHONY: lint
lint: $(DENY) ## Formatting, clippy, documentation, licences and dependencies.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	$(DENY) --offline check bans licenses sources

SCENARIO ?= loadtest/scenarios/tv-spot.toml

.PHONY: loadtest
loadtest: ## One load test and its report: make loadtest SCENARIO=loadtest/scenarios/steady.toml
	$(CARGO) build --release -p edge -p loadtest
	$(CARGO) run --release --quiet -p loadtest -- run $(SCENARIO)

.PHONY: compare
compare: ## Sets Staffetta beside Postfix, Exim, OpenSMTPD, Haraka, nginx and Redis: installs them (root, or sudo), measures, writes loadtest-comparison/. Under 20 minutes.
	loadtest/peers
	$(CARGO) build --release -p edge -p loadtest
	$(CARGO) run --release --quiet -p loadtest -- compare

.PHONY: setup
setup: .tools/apt-stamp $(PYTHON)

# For the tests: Postfix and Redis as real peers, a real Prometheus, a real browser, strace for the crash images, the compiler that aws-lc needs.
PACKAGES := chromium fonts-liberation gcc libc6-dev libfaketime postfix procps prometheus python3-venv redis-server strace

.tools/apt-stamp: tests/packages
	tests/packages $(PACKAGES)
	@mkdir -p $(TOOLS) && touch $@

$(PYTHON): tests/requirements.txt | .tools/apt-stamp
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(DENY):
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-deny@$(DENY_VERSION)
