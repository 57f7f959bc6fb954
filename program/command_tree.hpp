// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <memory>

namespace undercroft::program {

/// All commands of `undercroft`. One that runs, runs inside parse() and leaves its result in `exit_code`.
[[nodiscard]] std::unique_ptr<CLI::App> command_tree(int& exit_code);

} // namespace undercroft::program
