// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <sstream>

#include <fmt/format.h>

#include "collector/config/config_file.hpp"
#include "collector/config/keys.hpp"

namespace undercroft::collector {
namespace {

constexpr std::size_t columns = 100;

std::string comment(std::string const& text)
{
    std::istringstream words{text};
    std::string out;
    std::string line = "#";
    for (std::string word; words >> word; line += " " + word)
        if (line.size() + 1 + word.size() > columns) {
            out += line + "\n";
            line = "#";
        }
    return out + line + "\n";
}

/// A basic string of TOML.
std::string quoted(std::string const& text)
{
    std::string out = "\"";
    for (char const c : text) {
        if (c == '"' || c == '\\')
            out += std::string{'\\', c};
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    return out + "\"";
}

std::string value(ConfigKey const& key, std::string const& text)
{
    switch (key.kind) {
    case ValueKind::quantity:
        // With the unit that a bare number has, unless the user wrote one.
        return quoted(text.find_first_not_of("0123456789.") == std::string::npos
                          ? fmt::format("{} {}", text, suffix_of(*key.unit))
                          : text);
    case ValueKind::text:
        return quoted(text);
    default:
        return text;
    }
}

std::string example(ConfigKey const& key)
{
    std::string const one = key.kind == ValueKind::boolean  ? "false"
                            : key.kind == ValueKind::text   ? "\"\""
                            : key.kind == ValueKind::number ? "0.0"
                                                            : value(key, "0");
    return key.list ? "[]" : one;
}

std::string limits(ConfigKey const& key)
{
    std::string const type = key.option->get_type_name();
    auto const begin = type.find(" in [");
    if (begin == std::string::npos)
        return "";
    std::string const range = type.substr(begin + 5, type.find(']', begin) - begin - 5);
    return fmt::format(", between {}{}{}", range, key.unit ? " " : "", key.unit ? suffix_of(*key.unit) : "");
}

std::string setting(ConfigKey const& key)
{
    std::string out = comment(key.option->get_description() + limits(key));
    std::vector<std::string> values = key.option->results();
    if (values.empty() && !key.list && !key.option->get_default_str().empty())
        values.push_back(key.option->get_default_str());
    if (values.empty() && key.kind == ValueKind::boolean)
        values.emplace_back("false");
    if (values.empty())
        return out + fmt::format("# {} = {}\n", key.name, example(key));
    std::string list;
    for (std::string const& text : values)
        list += (list.empty() ? "" : ", ") + value(key, text);
    return out + fmt::format("{} = {}\n", key.name, key.list ? "[" + list + "]" : list);
}

} // namespace

std::string config_text(CLI::App& command)
{
    std::vector<std::string> tables{""};
    auto const keys = config_keys(command);
    for (ConfigKey const& key : keys)
        if (std::ranges::find(tables, key.table) == tables.end())
            tables.push_back(key.table);
    std::string out = fmt::format("# Configuration of `undercroft {}`. Lines behind a # show what is not set.\n"
                                  "# undercroft config check FILE looks for mistakes.\n",
                                  command.get_name());
    for (std::string const& table : tables) {
        if (!table.empty())
            out += fmt::format("\n[{}]\n", table);
        for (ConfigKey const& key : keys)
            if (key.table == table)
                out += "\n" + setting(key);
    }
    return out;
}

void add_print_config_option(CLI::App& command)
{
    command
        .add_flag_callback(
            "--print-config",
            [&command] {
                std::fputs(config_text(command).c_str(), stdout);
                throw CLI::RuntimeError{0};
            },
            "print all settings as a configuration file, with the values that they would have, and stop")
        ->configurable(false);
}

} // namespace undercroft::collector
