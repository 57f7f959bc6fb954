# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# The short commands; everything they do is in CMake, tools/, testbed/ and bench/.
#   make demo     one emulated machine from boot to heat map
#   make test     everything that ctest knows, witnesses in the emulator included
#   make bench    what the sensor costs, into $(BUILD)/bench.json
#   make fuzz     each fuzz target for FUZZ_SECONDS
#   make lint     formatting, static analysis and this repository's own rules; make format
BUILD ?= build
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
TESTS ?= .*
SHELL := /bin/bash
CMAKE_BUILD = cmake --build $(BUILD) -j $(JOBS)
.DEFAULT_GOAL := all
.PHONY: all setup configure build programs test unit demo bench fuzz format lint clean
all: build
setup:
	@tools/setup
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
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -R '$(TESTS)'
unit: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -L unit -R '$(TESTS)'
demo:
	@started=$$(date +%s.%N) && tools/setup && installed=$$(date +%s.%N) && \
	    $(MAKE) --no-print-directory programs && \
	    python3 testbed/demo.py --build $(BUILD) --started $$started --installed $$installed
bench: programs
	@$(CMAKE_BUILD) --target uc_entropy_speed uc_feature_speed
	@python3 bench/run.py --build $(BUILD)
fuzz: configure
	@$(CMAKE_BUILD) --target fuzzers
	@python3 -m tools.fuzz --build $(BUILD) --seconds $(FUZZ_SECONDS) --jobs $(JOBS)
format: setup
	@python3 -m tools.lint.format
lint: configure
	@python3 -m tools.lint --build $(BUILD) --jobs $(JOBS)
clean:
	rm -rf $(BUILD)
