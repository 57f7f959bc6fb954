// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A program's commands and options as plain data, for manual pages and completion.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace undercroft::program {

struct OptionOutline {
    std::vector<std::string> names; ///< with dashes, short ones first; of a positional its name
    std::string type;               ///< empty: a flag
    std::string range;              ///< "1 - 64", or empty
    std::vector<std::string> choices;
    std::string standard; ///< default value, or empty
    std::string text;
    bool positional = false;
    bool required = false;
};

struct CommandOutline {
    std::vector<std::string> path; ///< "undercroft", "preflight", "collector"
    std::string text, footer;
    std::vector<OptionOutline> options;
    std::vector<CommandOutline> children;

    /// Words of the path with `separator` between them.
    [[nodiscard]] std::string name(std::string const& separator) const;
};

[[nodiscard]] CommandOutline outline(CLI::App& app, std::vector<std::string> const& parents = {});

/// Manual page of a command and all below it, man(7). `additions`: sections that no option tells, as text in which
/// a line "# NAME" begins a section, an empty line a paragraph, and two blanks a line that stays as it is.
[[nodiscard]] std::string manual_page(CommandOutline const& command, std::string const& additions,
                                      std::string const& version, std::string const& date);
[[nodiscard]] std::string bash_completion(CommandOutline const& program);
[[nodiscard]] std::string zsh_completion(CommandOutline const& program);

} // namespace undercroft::program
