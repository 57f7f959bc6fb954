// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.hpp"

namespace undercroft::net {

/// Datagrams to and from the one SNTP server.
class TimeServerPort {
public:
    /// False: no address or no memory yet; nothing was sent.
    [[nodiscard]] virtual bool send_request(std::span<std::uint8_t const> packet) = 0;
    /// The last datagram that came from the server's address and port: its length (at most
    /// into.size(); the rest is cut off) and when it was read from the card. 0: none.
    [[nodiscard]] virtual std::size_t take_answer(std::span<std::uint8_t> into, Tsc& arrived) = 0;

protected:
    ~TimeServerPort() = default;
};

} // namespace undercroft::net
