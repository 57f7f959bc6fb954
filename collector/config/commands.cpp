// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "collector/config/config_file.hpp"
#include "collector/config/keys.hpp"

namespace undercroft::collector {
namespace {

int check(CLI::App& command, std::string const& file)
{
    try {
        std::size_t const settings = apply_config(command, read_config(file), file);
        std::string missing;
        for (ConfigKey const& key : config_keys(command))
            if (key.option->get_required() && key.option->count() == 0)
                missing += fmt::format("{}{}", missing.empty() ? "" : ", ", key.path());
        fmt::print("{}: no mistakes in {} settings\n", file, settings);
        if (!missing.empty())
            fmt::print("{}: not set, so the command line must give it: {}\n", file, missing);
        return 0;
    } catch (ConfigFileError const& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}

} // namespace

void register_config_commands(CLI::App& root, CLI::App& configured, int& exit_code)
{
    CLI::App* const config = root.add_subcommand("config", "Look after the configuration file of `collect`");
    config->require_subcommand(1);
    CLI::App* const command = config->add_subcommand("check", "Say what is wrong in a file, with line and column");
    auto const file = std::make_shared<std::string>();
    command->add_option("file", *file, "the file")->required()->type_name("FILE");
    command->footer("Exit code 0: no mistakes; 1: see what it prints.");
    command->callback([file, &configured, &exit_code] { exit_code = check(configured, *file); });
}

} // namespace undercroft::collector
