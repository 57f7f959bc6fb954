// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// "ADDRESS:PORT" as the options want it: numeric, [ADDRESS]:PORT for IPv6.
#include <cstdint>
#include <expected>
#include <string>

namespace undercroft::collector {

struct Address {
    std::string host; ///< without brackets
    std::uint16_t port{};
    bool loopback{};
};

/// The error says what is wanted.
[[nodiscard]] std::expected<Address, std::string> parse_address(std::string const& text);

/// For CLI::Validator: empty if `text` is such an address.
[[nodiscard]] std::string check_address(std::string const& text);

} // namespace undercroft::collector
