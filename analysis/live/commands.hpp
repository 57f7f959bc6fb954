// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "collector/companion.hpp"

namespace CLI {
class App;
}

namespace undercroft::analysis {

/// Adds detect to `root`. `exit_code` as in analysis/commands.hpp.
void register_detect(CLI::App& root, int& exit_code);

/// Detection inside `undercroft collect`.
[[nodiscard]] std::shared_ptr<collector::CompanionMaker> detection_beside_collect();

} // namespace undercroft::analysis
