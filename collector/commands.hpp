// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <vector>

#include "collector/companion.hpp"

namespace undercroft::collector {

/// Adds `collect` and `fsck` to the program. A command runs inside root.parse() and leaves its result in exit_code.
/// `companions` may run beside `collect`.
void register_collect_commands(CLI::App& root, int& exit_code,
                               std::vector<std::shared_ptr<CompanionMaker>> companions = {});
/// `control`.
void register_control_command(CLI::App& root, int& exit_code);
/// `fsck` alone.
void register_fsck_command(CLI::App& root, int& exit_code);

} // namespace undercroft::collector
