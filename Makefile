# Thin wrapper over the CMake presets; `make help` lists the targets.
PRESET ?= release
BUILD := build/$(PRESET)
PIVOTAL := $(BUILD)/bin/pivotal

.PHONY: help setup build demo test bench tiny-model clean
help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

setup:
	@scripts/setup

build: setup ## configure and build (PRESET=release|debug|asan)
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET)

demo: build ## search, pairs, DPO and evaluation on the tiny model
	@$(PIVOTAL) demo

test: build ## build, then run all tests
	@ctest --preset $(PRESET) -j2

bench: ## build and run the micro-benchmarks
	@$(MAKE) --no-print-directory build PRESET=bench
	@build/bench/bin/kernels_bench

tiny-model: build ## rebuild experiments/tiny from the generator (about half an hour on two cores)
	@experiments/tiny/rebuild $(PIVOTAL)

clean: ## remove the build trees (keeps build/venv)
	rm -rf build/release build/debug build/asan build/bench
