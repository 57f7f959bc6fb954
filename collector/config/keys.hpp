// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The schema of the configuration file. It is read off the command's own options, so that neither can have what
// the other lacks: an option's group is its table, its first long name its key.
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/config/quantity.hpp"

namespace undercroft::collector {

enum class ValueKind : std::uint8_t { boolean, integer, number, quantity, text };

struct ConfigKey {
    std::string table; ///< empty: before the first table
    std::string name;
    CLI::Option* option;
    ValueKind kind;
    bool list; ///< may be given several times: an array of `kind`
    std::optional<Unit> unit;

    [[nodiscard]] std::string path() const { return table.empty() ? name : table + "." + name; }
};

/// Every option that may stand in a file, in the order of the command's help.
/// `--hdfs-url` in group "hdfs" is `url` of table `hdfs`.
[[nodiscard]] std::vector<ConfigKey> config_keys(CLI::App& command);

/// Of `known`, what `word` was probably meant to be; empty if nothing is near.
[[nodiscard]] std::string nearest(std::string_view word, std::vector<std::string> const& known);

} // namespace undercroft::collector
