// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
namespace CLI {
class App;
}

namespace undercroft::analysis {

/// Adds heatmap, export, replay, features, info, import, train, evaluate and alerts to `root`. A command that ran sets
/// `exit_code`: 0, or 1 after it has printed an error to standard error.
void register_analysis_commands(CLI::App& root, int& exit_code);

} // namespace undercroft::analysis
