// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Single values of the configuration file.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hypervisor/core/config.hpp"

namespace undercroft::core {

/// Decimal digits only, within [least, most].
[[nodiscard]] std::optional<std::uint32_t> parse_decimal(std::string_view text, std::uint32_t least,
                                                         std::uint32_t most);
/// Hexadecimal digits only (no prefix), within [0, most].
[[nodiscard]] std::optional<std::uint32_t> parse_hex(std::string_view text, std::uint32_t most);
/// Exactly 2 * into.size() hexadecimal digits.
[[nodiscard]] bool parse_hex_bytes(std::string_view text, std::span<std::uint8_t> into);
/// a.b.c.d, each 0 ... 255.
[[nodiscard]] std::optional<Ipv4> parse_ipv4(std::string_view text);

struct Endpoint {
    Ipv4 address{};
    std::uint16_t port = 0;
};
/// a.b.c.d:port; without the port, default_port when that is not 0.
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text, std::uint16_t default_port);

[[nodiscard]] std::uint32_t to_number(Ipv4 const& address);
/// A host's own address: not 0.x, loopback, multicast or broadcast.
[[nodiscard]] bool is_host_address(Ipv4 const& address);

} // namespace undercroft::core
