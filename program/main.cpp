// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "collector/commands.hpp"
#include "preflight/commands.hpp"
#if defined(UNDERCROFT_WITH_ANALYSIS) && __has_include("analysis/commands.hpp")
#define HAVE_ANALYSIS 1
#include "analysis/commands.hpp"
#else
#define HAVE_ANALYSIS 0
#endif

int main(int argc, char** argv)
{
    CLI::App root{"Undercroft watches disk accesses from below the operating system.\n"
                  "This program receives what the sensors send and makes pictures and files of it.\n",
                  "undercroft"};
    root.set_version_flag("--version", "undercroft " UNDERCROFT_VERSION);
    root.require_subcommand(1);
    root.footer("`undercroft COMMAND --help` explains a command.");
    int exit_code = 0;
    undercroft::collector::register_collect_commands(root, exit_code);
    undercroft::collector::register_control_command(root, exit_code);
    undercroft::preflight::register_preflight_commands(root, exit_code);
#if HAVE_ANALYSIS
    undercroft::analysis::register_analysis_commands(root, exit_code);
#endif
    root.failure_message([](CLI::App const* app, CLI::Error const& error) {
        auto const unknown = app->get_subcommands().empty() ? app->remaining() : std::vector<std::string>{};
        std::string const what = unknown.empty() ? error.what() : "there is no command '" + unknown.front() + "'";
        return "undercroft: " + what +
               "\nTry `undercroft --help` for the list of commands, `undercroft COMMAND --help` for one of them.\n" +
               (app->get_subcommands().empty() ? "" : app->get_subcommands().front()->help());
    });
    try {
        root.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        return root.exit(error);
    }
    return exit_code;
}
