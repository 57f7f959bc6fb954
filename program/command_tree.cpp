// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "program/command_tree.hpp"

#include "collector/commands.hpp"
#include "collector/config/config_file.hpp"
#include "collector/hdfs/command.hpp"
#include "preflight/commands.hpp"
#if defined(UNDERCROFT_WITH_ANALYSIS) && __has_include("analysis/commands.hpp")
#define HAVE_ANALYSIS 1
#include "analysis/commands.hpp"
#include "analysis/live/commands.hpp"
#include "serve/command.hpp"
#else
#define HAVE_ANALYSIS 0
#endif

namespace undercroft::program {
namespace {

std::string failure_text(CLI::App const* app, CLI::Error const& error)
{
    // Such a text says where the mistake is; the list of options would only push it off the screen.
    if (dynamic_cast<collector::ConfigFileError const*>(&error) != nullptr)
        return std::string{error.what()} + "\n";
    auto const unknown = app->get_subcommands().empty() ? app->remaining() : std::vector<std::string>{};
    std::string const what = unknown.empty() ? error.what() : "there is no command '" + unknown.front() + "'";
    return "undercroft: " + what +
           "\nTry `undercroft --help` for the list of commands, `undercroft COMMAND --help` for one of them.\n" +
           (app->get_subcommands().empty() ? "" : app->get_subcommands().front()->help());
}

std::vector<std::shared_ptr<collector::CompanionMaker>> companions()
{
#if HAVE_ANALYSIS
    return {analysis::detection_beside_collect(), serve::page_beside_collect()};
#else
    return {};
#endif
}

} // namespace

std::unique_ptr<CLI::App> command_tree(int& exit_code)
{
    auto root =
        std::make_unique<CLI::App>("Undercroft watches disk accesses from below the operating system.\n"
                                   "This program receives what the sensors send and makes pictures and files of it.\n",
                                   "undercroft");
    root->set_version_flag("--version", "undercroft " UNDERCROFT_VERSION);
    root->require_subcommand(1);
    root->footer("`undercroft COMMAND --help` explains a command.");
    collector::register_collect_commands(*root, exit_code, companions());
    collector::register_control_command(*root, exit_code);
    collector::register_hdfs_commands(*root, exit_code);
    preflight::register_preflight_commands(*root, exit_code);
#if HAVE_ANALYSIS
    analysis::register_analysis_commands(*root, exit_code);
    analysis::register_detect(*root, exit_code);
    serve::register_serve_command(*root, exit_code);
#endif
    root->failure_message(failure_text);
    return root;
}

} // namespace undercroft::program
