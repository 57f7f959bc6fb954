// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/http/target.hpp"

#include <charconv>

namespace undercroft::serve {
namespace {

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/// Control characters and bytes beyond ASCII have no place in names of ours.
std::optional<std::string> decode(std::string_view text, bool plus_is_space)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            if (i + 2 >= text.size())
                return std::nullopt;
            int const high = hex_digit(text[i + 1]);
            int const low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0)
                return std::nullopt;
            c = static_cast<char>(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7F) // as signed char: bytes beyond ASCII are below 0
            return std::nullopt;
        out += c;
    }
    return out;
}

bool has_dot_segment(std::string_view path)
{
    for (std::size_t at = 0; at < path.size();) {
        std::size_t const end = std::min(path.find('/', at), path.size());
        std::string_view const segment = path.substr(at, end - at);
        if (segment == "." || segment == "..")
            return true;
        at = end + 1;
    }
    return false;
}

std::string_view trimmed(std::string_view text)
{
    while (text.starts_with(' '))
        text.remove_prefix(1);
    while (text.ends_with(' '))
        text.remove_suffix(1);
    return text;
}

} // namespace

std::optional<std::int64_t> Target::number(std::string const& name, std::int64_t least, std::int64_t most) const
{
    auto const found = parameters.find(name);
    if (found == parameters.end())
        return std::nullopt;
    std::string const& digits = found->second;
    std::int64_t value{};
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < least || value > most)
        return std::nullopt;
    return value;
}

std::string Target::text(std::string const& name) const
{
    auto const found = parameters.find(name);
    return found == parameters.end() ? std::string{} : found->second;
}

std::optional<std::map<std::string, std::string>> parse_form(std::string_view text)
{
    std::map<std::string, std::string> parameters;
    if (text.size() > most_target_bytes)
        return std::nullopt;
    while (!text.empty()) {
        std::size_t const end = std::min(text.find('&'), text.size());
        std::string_view const part = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        std::size_t const equals = part.find('=');
        if (equals == std::string_view::npos || equals == 0)
            return std::nullopt;
        auto const name = decode(part.substr(0, equals), true);
        auto const value = decode(part.substr(equals + 1), true);
        if (!name || !value || parameters.size() == most_parameters || !parameters.emplace(*name, *value).second)
            return std::nullopt;
    }
    return parameters;
}

std::optional<Target> parse_target(std::string_view text)
{
    if (text.size() > most_target_bytes || !text.starts_with('/'))
        return std::nullopt;
    std::size_t const query = std::min(text.find('?'), text.size());
    auto const path = decode(text.substr(0, query), false);
    if (!path || path->find('\\') != std::string::npos || has_dot_segment(*path))
        return std::nullopt;
    auto parameters = parse_form(query < text.size() ? text.substr(query + 1) : std::string_view{});
    if (!parameters)
        return std::nullopt;
    return Target{.path = *path, .parameters = std::move(*parameters)};
}

std::string_view find_cookie(std::string_view header, std::string_view name)
{
    while (!header.empty()) {
        std::size_t const end = std::min(header.find(';'), header.size());
        std::string_view const part = trimmed(header.substr(0, end));
        header.remove_prefix(std::min(end + 1, header.size()));
        if (part.size() > name.size() && part.starts_with(name) && part[name.size()] == '=')
            return part.substr(name.size() + 1);
    }
    return {};
}

} // namespace undercroft::serve
