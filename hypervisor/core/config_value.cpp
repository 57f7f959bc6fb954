// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/config_value.hpp"

#include "hypervisor/core/text.hpp"

namespace undercroft::core {
namespace {

std::optional<unsigned> hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f')
        return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F')
        return static_cast<unsigned>(c - 'A' + 10);
    return {};
}

std::optional<std::uint32_t> parse_number(std::string_view text, unsigned base, std::uint32_t most)
{
    std::uint64_t number = 0;
    for (char const c : text) {
        auto const digit = hex_digit(c);
        if (!digit || *digit >= base)
            return {};
        number = number * base + *digit;
        if (number > most)
            return {};
    }
    return text.empty() ? std::nullopt : std::optional{static_cast<std::uint32_t>(number)};
}

} // namespace

std::optional<std::uint32_t> parse_decimal(std::string_view text, std::uint32_t least, std::uint32_t most)
{
    auto const number = parse_number(text, 10, most);
    return number && *number >= least ? number : std::nullopt;
}

std::optional<std::uint32_t> parse_hex(std::string_view text, std::uint32_t most)
{
    return parse_number(text, 16, most);
}

bool parse_hex_bytes(std::string_view text, std::span<std::uint8_t> into)
{
    if (text.size() != 2 * into.size())
        return false;
    for (std::size_t i = 0; i < into.size(); ++i) {
        auto const byte = parse_hex(slice(text, 2 * i, 2), 0xff);
        if (!byte)
            return false;
        into[i] = static_cast<std::uint8_t>(*byte);
    }
    return true;
}

std::optional<Ipv4> parse_ipv4(std::string_view text)
{
    Ipv4 address{};
    for (std::size_t i = 0; i < address.size(); ++i) {
        bool const last = i + 1 == address.size();
        std::size_t const end = last ? text.size() : position_of('.', text);
        auto const octet = parse_decimal(slice(text, 0, end), 0, 255);
        if (!octet || end > 3 || (!last && end == text.size()))
            return {};
        address[i] = static_cast<std::uint8_t>(*octet);
        text = slice(text, end + 1);
    }
    return address;
}

std::optional<Endpoint> parse_endpoint(std::string_view text, std::uint16_t default_port)
{
    std::size_t const colon = position_of(':', text);
    auto const address = parse_ipv4(slice(text, 0, colon));
    if (!address)
        return {};
    if (colon == text.size())
        return default_port != 0 ? std::optional{Endpoint{*address, default_port}} : std::nullopt;
    auto const port = parse_decimal(slice(text, colon + 1), 1, 65535);
    return port ? std::optional{Endpoint{*address, static_cast<std::uint16_t>(*port)}} : std::nullopt;
}

std::uint32_t to_number(Ipv4 const& address)
{
    return static_cast<std::uint32_t>(address[0]) << 24 | static_cast<std::uint32_t>(address[1]) << 16 |
           static_cast<std::uint32_t>(address[2]) << 8 | address[3];
}

bool is_host_address(Ipv4 const& address)
{
    return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

} // namespace undercroft::core
