// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/config/address.hpp"

#include <arpa/inet.h>
#include <charconv>

namespace undercroft::collector {

std::expected<Address, std::string> parse_address(std::string const& text)
{
    std::unexpected const wrong{"'" + text + "' is no numeric ADDRESS:PORT such as 0.0.0.0:4710 or [::1]:4710"};
    auto const colon = text.rfind(':');
    if (colon == std::string::npos)
        return wrong;
    Address address{.host = text.substr(0, colon)};
    char const* const end = text.data() + text.size();
    auto const [rest, error] = std::from_chars(text.data() + colon + 1, end, address.port);
    if (error != std::errc{} || rest != end)
        return wrong;
    bool const brackets = address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']';
    if (brackets)
        address.host = address.host.substr(1, address.host.size() - 2);
    in_addr ipv4{};
    in6_addr ipv6{};
    if (!brackets && ::inet_pton(AF_INET, address.host.c_str(), &ipv4) == 1)
        address.loopback = address.host.starts_with("127.");
    else if (brackets && ::inet_pton(AF_INET6, address.host.c_str(), &ipv6) == 1)
        address.loopback = IN6_IS_ADDR_LOOPBACK(&ipv6);
    else
        return wrong;
    return address;
}

std::string check_address(std::string const& text)
{
    auto const address = parse_address(text);
    return address ? "" : address.error();
}

} // namespace undercroft::collector
