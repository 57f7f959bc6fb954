// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/config/config_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

// What toml++ 3.3's parser asserts is not always so ("[[[" is enough), and with NDEBUG the compiler may take it for
// granted. Here it is checked in any build and ends the parsing.
namespace undercroft::collector {
struct ParserAtItsEnd {};
} // namespace undercroft::collector
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>((condition) || (throw undercroft::collector::ParserAtItsEnd{}, true))
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "collector/config/keys.hpp"

namespace undercroft::collector {
namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 20;
constexpr std::size_t max_problems = 20;

char const* wanted_text(ConfigKey const& key)
{
    switch (key.kind) {
    case ValueKind::boolean:
        return "true or false";
    case ValueKind::integer:
        return "a whole number";
    case ValueKind::number:
        return "a number";
    case ValueKind::quantity:
        return is_time(*key.unit) ? "a time such as \"30 s\" or \"90 days\"" : "a size such as \"64 MiB\"";
    case ValueKind::text:
        break;
    }
    return "a text in quotes";
}

char const* type_text(toml::node const& node)
{
    switch (node.type()) {
    case toml::node_type::table:
        return "a table";
    case toml::node_type::array:
        return "a list";
    case toml::node_type::string:
        return "a text";
    case toml::node_type::integer:
        return "a whole number";
    case toml::node_type::floating_point:
        return "a number";
    case toml::node_type::boolean:
        return "true or false";
    default:
        return "a date or time";
    }
}

/// As it would stand on the command line; nothing if it is of another type than the key wants.
std::optional<std::string> value_text(toml::node const& node, ConfigKey const& key)
{
    bool const amount = key.kind == ValueKind::quantity;
    if (auto const* const text = node.as_string(); text != nullptr && (key.kind == ValueKind::text || amount))
        return text->get();
    if (auto const* const whole = node.as_integer();
        whole != nullptr && (key.kind == ValueKind::integer || key.kind == ValueKind::number || amount))
        return fmt::format("{}", whole->get());
    if (auto const* const number = node.as_floating_point();
        number != nullptr && (key.kind == ValueKind::number || amount))
        return fmt::format("{}", number->get());
    if (auto const* const flag = node.as_boolean(); flag != nullptr && key.kind == ValueKind::boolean)
        return flag->get() ? "true" : "false";
    return std::nullopt;
}

/// Walks one file over one command's options.
class Reader {
public:
    Reader(CLI::App& command, std::string const& file_name) : keys_{config_keys(command)}, file_name_{file_name}
    {
        for (CLI::Option* const option : command.get_options())
            if (option->count() > 0)
                given_.push_back(option);
    }

    void read(toml::table const& root);
    [[nodiscard]] std::size_t settings() const { return settings_; }
    [[nodiscard]] std::string problems();

private:
    struct Problem {
        toml::source_index line, column;
        std::string text;
        auto operator<=>(Problem const&) const = default;
    };

    void read_entry(std::string const& table, toml::key const& key, toml::node const& node);
    void read_value(ConfigKey const& key, toml::node const& node);
    void set(ConfigKey const& key, std::vector<std::string> const& values, toml::source_position at);
    void unknown_key(std::string const& table, toml::key const& key);
    void unknown_table(toml::key const& name);
    void complain(toml::source_position at, std::string const& text);
    [[nodiscard]] bool has_table(std::string_view name) const
    {
        return std::ranges::any_of(keys_, [&](ConfigKey const& key) { return key.table == name; });
    }

    std::vector<ConfigKey> keys_;
    std::vector<CLI::Option*> given_; ///< on the command line, which wins
    std::string const& file_name_;
    std::size_t settings_ = 0;
    std::vector<Problem> problems_;
};

void Reader::complain(toml::source_position at, std::string const& text)
{
    problems_.push_back({at.line, at.column, text});
}

/// In the order of the file.
std::string Reader::problems()
{
    std::ranges::sort(problems_);
    std::string out;
    for (std::size_t i = 0; i < std::min(problems_.size(), max_problems); ++i)
        out += fmt::format("{}{}:{}:{}: {}", i == 0 ? "" : "\n", file_name_, problems_[i].line, problems_[i].column,
                           problems_[i].text);
    if (problems_.size() > max_problems)
        out += fmt::format("\n{}: {} more", file_name_, problems_.size() - max_problems);
    return out;
}

void Reader::read(toml::table const& root)
{
    for (auto const& [key, node] : root) {
        auto const* const table = node.as_table();
        if (table == nullptr)
            read_entry("", key, node);
        else if (has_table(key.str()))
            for (auto const& [inner, value] : *table)
                read_entry(std::string{key.str()}, inner, value);
        else
            unknown_table(key);
    }
}

void Reader::read_entry(std::string const& table, toml::key const& key, toml::node const& node)
{
    auto const found = std::ranges::find_if(
        keys_, [&](ConfigKey const& known) { return known.table == table && known.name == key.str(); });
    if (found == keys_.end())
        unknown_key(table, key);
    else
        read_value(*found, node);
}

void Reader::read_value(ConfigKey const& key, toml::node const& node)
{
    auto const at = node.source().begin;
    std::vector<std::string> values;
    auto const* const list = node.as_array();
    auto const wrong = [&](toml::node const& what) {
        complain(what.source().begin,
                 fmt::format("{} is {}{}, not {}", key.path(), key.list ? "a list of which each is " : "",
                             wanted_text(key), type_text(what)));
    };
    if ((list != nullptr) != key.list)
        return wrong(node);
    if (list == nullptr) {
        auto const value = value_text(node, key);
        if (!value)
            return wrong(node);
        values.push_back(*value);
    } else {
        for (toml::node const& element : *list) {
            auto const value = value_text(element, key);
            if (!value)
                return wrong(element);
            values.push_back(*value);
        }
    }
    set(key, values, at);
}

void Reader::set(ConfigKey const& key, std::vector<std::string> const& values, toml::source_position at)
{
    ++settings_;
    if (values.empty() || std::ranges::find(given_, key.option) != given_.end())
        return;
    try {
        for (std::string const& value : values)
            key.option->add_result(value);
        key.option->run_callback();
    } catch (CLI::ParseError const& error) {
        // CLI11 begins its own texts with the option's name, which is not what stands in the file.
        std::string text = error.what();
        std::string const prefix = key.option->get_name() + ": ";
        if (text.starts_with(prefix))
            text = text.substr(prefix.size());
        else if (dynamic_cast<CLI::ConversionError const*>(&error) != nullptr)
            text = fmt::format("'{}' cannot be taken as {}", values.front(), wanted_text(key));
        complain(at, fmt::format("{}: {}", key.path(), text));
    }
}

void Reader::unknown_key(std::string const& table, toml::key const& key)
{
    std::string const name{key.str()};
    std::vector<std::string> here;
    for (ConfigKey const& known : keys_) {
        if (known.name == name)
            return complain(key.source().begin, known.table.empty()
                                                    ? fmt::format("{} must stand before the first [table]", name)
                                                    : fmt::format("{} belongs into the table [{}]", name, known.table));
        if (known.table == table)
            here.push_back(known.name);
    }
    std::string const meant = nearest(name, here);
    complain(key.source().begin,
             fmt::format("there is no setting '{}'{}{}", name, table.empty() ? "" : " in [" + table + "]",
                         meant.empty() ? ". undercroft collect --print-config shows all"
                                       : fmt::format("; did you mean '{}'?", meant)));
}

void Reader::unknown_table(toml::key const& name)
{
    std::vector<std::string> tables;
    for (ConfigKey const& known : keys_)
        if (!known.table.empty())
            tables.push_back(known.table);
    std::string const meant = nearest(name.str(), tables);
    bool const is_key =
        std::ranges::any_of(keys_, [&](auto const& key) { return key.table.empty() && key.name == name.str(); });
    complain(name.source().begin, is_key
                                      ? fmt::format("{} is a setting, not a table", name.str())
                                      : fmt::format("there is no table [{}]{}", name.str(),
                                                    meant.empty() ? "" : fmt::format("; did you mean [{}]?", meant)));
}

/// Where toml++ 3.3 meets a character beyond ASCII in a place that it does not expect, it asks whether that is white
/// space, and for most of them reaches what the compiler was told to be impossible. Which places these are is the
/// parser's to know: so there are none.
void refuse_beyond_ascii(std::string const& text, std::string const& file_name)
{
    auto const found = std::ranges::find_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0x80) != 0; });
    if (found != text.end())
        throw ConfigFileError{fmt::format("{}:{}:1: only ASCII is taken in this file, in comments and strings too",
                                          file_name, 1 + std::count(text.begin(), found, '\n'))};
}

} // namespace

std::size_t apply_config(CLI::App& command, std::string const& text, std::string const& file_name)
{
    refuse_beyond_ascii(text, file_name);
    toml::table root;
    try {
        root = toml::parse(text, file_name);
    } catch (toml::parse_error const& error) {
        auto const at = error.source().begin;
        throw ConfigFileError{fmt::format("{}:{}:{}: {}", file_name, at.line, at.column, error.description())};
    } catch (ParserAtItsEnd const&) {
        throw ConfigFileError{file_name + ":1:1: this is not TOML"};
    }
    Reader reader{command, file_name};
    reader.read(root);
    if (std::string const problems = reader.problems(); !problems.empty())
        throw ConfigFileError{problems};
    return reader.settings();
}

std::string read_config(std::string const& file_name)
{
    std::ifstream stream{file_name, std::ios::binary};
    std::string text(max_file_bytes + 1, '\0');
    if (stream)
        stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!stream && !stream.eof())
        throw ConfigFileError{fmt::format("{}: cannot be read: {}", file_name, std::strerror(errno))};
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > max_file_bytes)
        throw ConfigFileError{file_name + ": larger than 1 MiB, which no configuration is"};
    return text;
}

void add_config_option(CLI::App& command)
{
    command
        .add_option_function<std::string>(
            "--config",
            [&command](std::string const& file) { static_cast<void>(apply_config(command, read_config(file), file)); },
            "settings from a file (TOML); what stands on the command line wins")
        ->type_name("FILE")
        ->configurable(false);
}

} // namespace undercroft::collector
