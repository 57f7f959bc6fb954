// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The analysis commands alone, sanitized, for store_test.py.
#include <CLI/CLI.hpp>

#include "analysis/commands.hpp"
#include "analysis/live/commands.hpp"

int main(int argc, char** argv)
{
    CLI::App root{"analysis commands"};
    root.require_subcommand(1);
    int exit_code = 0;
    undercroft::analysis::register_analysis_commands(root, exit_code);
    undercroft::analysis::register_detect(root, exit_code);
    CLI11_PARSE(root, argc, argv);
    return exit_code;
}
