// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "collector/companion.hpp"

namespace CLI {
class App;
}

namespace undercroft::serve {

/// Adds `serve` to the program.
void register_serve_command(CLI::App& root, int& exit_code);

/// `collect --serve`: the page inside the collector's process.
[[nodiscard]] std::shared_ptr<collector::CompanionMaker> page_beside_collect();

} // namespace undercroft::serve
