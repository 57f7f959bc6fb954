// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
namespace CLI {
class App;
}

namespace undercroft::serve {

/// Adds `serve` to the program.
void register_serve_command(CLI::App& root, int& exit_code);

} // namespace undercroft::serve
