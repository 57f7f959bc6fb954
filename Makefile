# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# The short commands; everything they do is in CMake, tools/ and testbed/.
BUILD ?= build
JOBS ?= $(shell nproc)
.PHONY: all setup configure build test demo bench fuzz format lint clean
all: build
setup:
	@tools/setup
configure: setup
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 >$(BUILD).cmake.log 2>&1 || (cat $(BUILD).cmake.log; exit 1)
build: configure
	@cmake --build $(BUILD) -j $(JOBS)
clean:
	rm -rf $(BUILD)
