# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# The short commands; everything they do is in CMake, tools/, testbed/ and bench/.
#   make demo     one emulated machine from boot to heat map
#   make test     all tests, witnesses in the emulator included; make memory those of the memory monitor
#   make bench    what the sensor costs, into $(BUILD)/bench.json; make bench-detect the detector's figures alone
#   make setup-hdfs   Apache Hadoop and PySpark into the cache: then make test runs the HDFS and Spark tests too
#   make model    the shipped detector: records the test bed's programs (MODEL_DATA, hours), trains and judges it
#   make fuzz     each fuzz target for FUZZ_SECONDS
#   make package  Debian packages, into $(BUILD)/packages
#   make lint     formatting, static analysis and this repository's own rules; make format
BUILD ?= build
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
MODEL_DATA ?= $(BUILD)/model-data
BENCH_STORES ?= $(BUILD)/bench-page
MODEL_KIND ?= anchored
MODEL_ORIGIN = Undercroft's test bed (testbed/behaviour), recorded by its own sensor beneath emulated machines; nothing else. make model makes it anew
TESTS ?= .*
SHELL := /bin/bash
VENV ?= $(or $(UNDERCROFT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/undercroft)/venv
WITNESS = $(VENV)/bin/python testbed/witness/run.py
CMAKE_BUILD = cmake --build $(BUILD) -j $(JOBS)
.DEFAULT_GOAL := all
.PHONY: all setup setup-hdfs configure build programs test unit memory soak demo bench bench-detect bench-memory bench-page model model-only fuzz package format lint clean
all: build
setup:
	@tools/setup
setup-hdfs:
	@tools/setup-hdfs
configure: setup
	@mkdir -p $(BUILD)
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 \
	    >$(BUILD)/cmake.log 2>&1 || { cat $(BUILD)/cmake.log; exit 1; }
build: configure
	@$(CMAKE_BUILD)
# What runs in and beside an emulated machine, without any test.
programs: configure
	@$(CMAKE_BUILD) --target programs
# Tests that start an emulator take turns by their resource lock; unit tests run beside them.
test: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -R '$(TESTS)' -LE '^open$$'
# Witnesses of the memory monitor, with two minutes of each mode (docs/memory-monitoring.md).
memory: build
	@UNDERCROFT_MEMORY_SECONDS=120 ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -L '^memory$$'
unit: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -L unit -R '$(TESTS)'
# 200 kills and a partition of 60 s, then an hour of each memory mode.
soak: build
	@python3 collector/tests/faults/matrix.py $(BUILD)/bin --soak --results $(BUILD)/soak.json
	@for mode in access written live consistent watch; do \
	    export UNDERCROFT_MEMORY_SECONDS=3600 UNDERCROFT_MEMORY_MODES=$$mode; \
	    $(WITNESS) make memory_survival --build $(BUILD) && $(WITNESS) judge memory_survival --build $(BUILD) || exit 1; done
demo:
	@started=$$(date +%s.%N) && tools/setup && installed=$$(date +%s.%N) && \
	    $(MAKE) --no-print-directory programs && \
	    python3 testbed/demo.py --build $(BUILD) --started $$started --installed $$installed
bench: programs
	@$(CMAKE_BUILD) --target uc_entropy_speed uc_sensor_load uc_store_check uc_store_scan uc_store_fill uc_udp_sink
	@python3 bench/run.py --build $(BUILD)
	@$(VENV)/bin/python bench/collect.py --build $(BUILD)
	@$(MAKE) --no-print-directory bench-detect
# Features and verdicts per second, beside pandas; alerts as models/figures.json has them.
bench-detect: programs
	@$(CMAKE_BUILD) --target uc_feature_speed
	@$(VENV)/bin/python bench/detect.py --build $(BUILD)
# Every mode of the memory monitor against the guest without it, and the papers' figures drawn.
bench-memory: programs
	@$(CMAKE_BUILD) --target uc_guest_stream uc_guest_system_set
	@python3 bench/memory.py --build $(BUILD)
# Recording goes on where it was left; what is there is not recorded again.
model: programs
	@python3 testbed/model_data.py --build $(BUILD) --out $(MODEL_DATA)
	@$(MAKE) --no-print-directory model-only
# From what MODEL_DATA holds.
model-only:
	@mkdir -p models
	@$(BUILD)/bin/undercroft train $(MODEL_DATA) --kind $(MODEL_KIND) --origin "$(MODEL_ORIGIN)" --out models/default.json
	@$(BUILD)/bin/undercroft evaluate --train $(MODEL_DATA) --test $(MODEL_DATA) --kind $(MODEL_KIND) --main-only --seeds 1 \
	    --json $(BUILD)/model-figures.json --summary models/figures.json --report docs/default-model.md --curves docs/images/default-model.png
# The page on an hour of 10^8 records; needs some 1 GB of disk. Store and index are kept in BENCH_STORES.
bench-page: programs
	@$(CMAKE_BUILD) --target uc_sensor_load
	@ctest --test-dir $(BUILD) --output-on-failure -R page_browser_test
	@$(VENV)/bin/python bench/page.py --build $(BUILD) --stores $(BENCH_STORES) --modules $(VENV)/../page-$$(sha256sum page/package-lock.json | cut -c1-16)/node_modules
package: programs
	@$(CMAKE_BUILD) --target package_files undercroft_mb2
	@cd $(BUILD) && cpack -G DEB >cpack.log || { cat cpack.log; exit 1; }
	@ls -l $(BUILD)/packages/*.deb
fuzz: configure
	@$(CMAKE_BUILD) --target fuzzers
	@python3 -m tools.fuzz --build $(BUILD) --seconds $(FUZZ_SECONDS) --jobs $(JOBS)
format: setup
	@python3 -m tools.lint.format
lint: configure
	@python3 -m tools.lint --build $(BUILD) --jobs $(JOBS)
clean:
	rm -rf $(BUILD)
