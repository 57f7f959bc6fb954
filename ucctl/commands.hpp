// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "control_cli/memory_options.hpp"

namespace undercroft::ucctl {

struct Options {
    std::string key_file = "/etc/undercroft/control.key";
    bool json = false;
    bool follow = false;
    std::uint64_t from_line = 0;
};

/// Adds the commands; which one was chosen, the caller asks the app.
void add_commands(CLI::App& app, Options& options, control_cli::MemoryArguments& memory);

} // namespace undercroft::ucctl
