# Offtake's commands. `make help` lists them.
#
# The demo, the tests and the benchmarks share one profile (release), one feature set and one target
# folder, so that each is built once.

CARGO ?= cargo
ARGS  ?=

.PHONY: help build demo test test-full torture bench bench-plugins plugins check dist clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the offtake command (target/release/offtake)
	@sh tests/setup.sh build
	$(CARGO) build --release --locked --workspace --bin offtake

demo: ## see it work: a throw-away database, an application, masking, a subscriber (ARGS="--changes 50")
	@sh tests/setup.sh demo
	$(CARGO) build --release --locked --workspace --bin offtake
	@target/release/offtake demo $(ARGS)

# SKIP_KAFKA=1 leaves out what needs a broker, SKIP_DISK_FULL=1 what needs the right to mount a disk.
test: ## install what the tests need, build, and run every test against real servers
	@sh tests/setup.sh test
	@sh tests/run.sh test

test-full: ## the same with PostgreSQL 14, 16 and 17, and the longer tests
	@sh tests/setup.sh test
	@sh tests/run.sh full

torture: ## 500 kills under load; TORTURE_KILLS (200), TORTURE_EXACTLY_ONCE_KILLS (300) and TORTURE_SEED choose others
	@sh tests/setup.sh test
	@sh tests/run.sh torture

bench: ## speed and memory beside pg_recvlogical and Debezium, into target/bench/*.json
	@sh tests/setup.sh bench
	@sh tests/run.sh bench

bench-plugins: ## what a change costs in a plugin, in every language, into target/bench-plugins.json (ARGS="rust go")
	@sh tests/setup.sh bench-plugins
	@sh tests/run.sh bench-plugins $(ARGS)

plugins: ## rebuild the first-party plugins into plugins/dist (ARGS=--check compares only)
	sh plugins/build.sh $(ARGS)

check: ## formatting and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	cd plugins && $(CARGO) fmt --check
	$(CARGO) clippy --release --locked --manifest-path plugins/Cargo.toml \
	    --target-dir target/plugins-host --workspace --all-targets -- -D warnings

dist: ## the binary as it is shipped: small, without test switches
	$(CARGO) build --profile dist --locked -p offtake --no-default-features

clean: ## remove everything that was built
	$(CARGO) clean
