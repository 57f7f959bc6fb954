// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "ucctl/key_file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace undercroft::ucctl {
namespace {

std::string_view trim(std::string_view text)
{
    constexpr std::string_view blanks = " \t\r\v\f";
    std::size_t const first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

int hex_digit(char c)
{
    constexpr std::string_view lower = "0123456789abcdef", upper = "0123456789ABCDEF";
    std::size_t const digit = lower.find(c) != std::string_view::npos ? lower.find(c) : upper.find(c);
    return digit == std::string_view::npos ? -1 : static_cast<int>(digit);
}

std::expected<wire::Key, std::string> parse_digits(std::string_view digits)
{
    wire::Key key{};
    if (digits.size() != 2 * key.size())
        return std::unexpected("the key has " + std::to_string(digits.size()) + " characters instead of 64 hex digits");
    for (std::size_t i = 0; i < key.size(); ++i) {
        int const high = hex_digit(digits[2 * i]), low = hex_digit(digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return std::unexpected("the key contains something other than hex digits");
        key[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return key;
}

} // namespace

std::expected<wire::Key, std::string> parse_key(std::string_view text)
{
    if (text.starts_with("\xef\xbb\xbf"))
        text.remove_prefix(3);
    std::string_view bare;
    while (!text.empty()) {
        std::size_t const end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        line = trim(line.substr(0, line.find('#')));
        std::size_t const equals = line.find('=');
        if (equals != std::string_view::npos) {
            if (trim(line.substr(0, equals)) == "control_key")
                return parse_digits(trim(line.substr(equals + 1)));
        } else if (bare.empty()) {
            bare = line;
        }
    }
    if (bare.empty())
        return std::unexpected("there is no key: expected 64 hex digits, or a line control_key = ...");
    return parse_digits(bare);
}

std::expected<wire::Key, std::string> read_key_file(std::string const& path, std::string& warning)
{
    std::ifstream file{path, std::ios::binary};
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()))
        return std::unexpected("cannot read the key file " + path + ": " + std::strerror(errno));
    std::error_code ignored;
    auto const permissions = std::filesystem::status(path, ignored).permissions();
    if (!ignored && (permissions & std::filesystem::perms::others_read) != std::filesystem::perms::none)
        warning = "every user can read the key file " + path + " (chmod 600 would change that)";
    auto key = parse_key(text.str());
    if (!key)
        return std::unexpected("key file " + path + ": " + key.error());
    return key;
}

} // namespace undercroft::ucctl
