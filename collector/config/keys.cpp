// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/config/keys.hpp"

#include <algorithm>
#include <numeric>

namespace undercroft::collector {
namespace {

/// CLI11's own name for options without a group.
constexpr std::string_view no_group = "Options";
constexpr std::size_t longest_word = 64;

ValueKind kind_of(CLI::Option& option, std::optional<Unit> unit)
{
    if (option.get_expected_max() == 0)
        return ValueKind::boolean;
    if (unit)
        return ValueKind::quantity;
    std::string type = option.get_type_name();
    type = type.substr(0, type.find(':'));
    if (type == "INT" || type == "UINT")
        return ValueKind::integer;
    return type == "FLOAT" ? ValueKind::number : ValueKind::text;
}

/// The first long name; of several, one that begins with the group's name comes first.
std::string key_name(CLI::Option const& option, std::string const& table)
{
    auto const& names = option.get_lnames();
    std::string const prefix = table + "-";
    auto const prefixed = std::ranges::find_if(names, [&](auto const& name) { return name.starts_with(prefix); });
    std::string name =
        !table.empty() && prefixed != names.end() ? prefixed->substr(prefix.size()) : std::string{names.front()};
    std::ranges::replace(name, '-', '_');
    return name;
}

/// Letters to insert, delete or exchange between the two.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            std::size_t const replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = std::exchange(row[j + 1], std::min({row[j] + 1, row[j + 1] + 1, replaced}));
        }
    }
    return row.back();
}

} // namespace

std::vector<ConfigKey> config_keys(CLI::App& command)
{
    std::vector<ConfigKey> keys;
    for (CLI::Option* const option : command.get_options()) {
        if (option == command.get_help_ptr() || !option->get_configurable() || option->get_lnames().empty())
            continue;
        std::string const table = option->get_group() == no_group ? "" : option->get_group();
        auto const unit = unit_of(*option);
        keys.push_back(
            {table, key_name(*option, table), option, kind_of(*option, unit), option->get_expected_max() > 1, unit});
    }
    return keys;
}

std::string nearest(std::string_view word, std::vector<std::string> const& known)
{
    if (word.size() > longest_word)
        return {};
    std::string best;
    // At most a third of the letters may differ, or it is another word.
    std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (std::string const& candidate : known)
        if (std::size_t const letters = distance(word, candidate); letters < least) {
            least = letters;
            best = candidate;
        }
    return best;
}

} // namespace undercroft::collector
