// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>

namespace undercroft::preflight {

/// Adds `preflight` to the program. The command runs inside root.parse() and leaves its result in exit_code.
void register_preflight_commands(CLI::App& root, int& exit_code);

} // namespace undercroft::preflight
