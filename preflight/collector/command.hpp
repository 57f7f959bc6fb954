// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>

namespace undercroft::preflight {

/// Adds `preflight collector`. What the collector will need, it takes from the options of `collect`.
void register_collector_preflight(CLI::App& preflight, CLI::App& collect, int& exit_code);

} // namespace undercroft::preflight
