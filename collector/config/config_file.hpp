// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The configuration file (TOML) of a command.
#include <CLI/CLI.hpp>
#include <string>

namespace undercroft::collector {

/// One line for each thing that is wrong: FILE:LINE:COLUMN: what, and what to write instead.
class ConfigFileError : public CLI::ParseError {
public:
    explicit ConfigFileError(std::string text)
        : ParseError{"ConfigFileError", std::move(text), CLI::ExitCodes::FileError}
    {
    }
};

/// Gives the command's options the values of the file, except those that the command line has given. Returns the
/// number of settings in the file. Throws ConfigFileError and then leaves the options half set.
std::size_t apply_config(CLI::App& command, std::string const& text, std::string const& file_name);
/// Reads at most 1 MiB. Throws ConfigFileError.
[[nodiscard]] std::string read_config(std::string const& file_name);

/// The command's settings as a file: what it was given, else the defaults; each with its explanation.
[[nodiscard]] std::string config_text(CLI::App& command);

/// Adds `--config FILE`. Must be the command's first option: those after it see the file's values.
void add_config_option(CLI::App& command);
/// Adds `--print-config`. Must be the command's last option.
void add_print_config_option(CLI::App& command);
/// Adds `config check FILE`, which tries a file on the options of `configured`.
void register_config_commands(CLI::App& root, CLI::App& configured, int& exit_code);

} // namespace undercroft::collector
