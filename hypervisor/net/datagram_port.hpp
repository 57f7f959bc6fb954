// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the sender needs of a network: datagrams to and from the one collector.
// net/stack.hpp implements it in the sensor, tests use a simulated link or a socket.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.hpp"

namespace undercroft::net {

/// UDP payload that fits into one unfragmented IPv4 packet.
inline constexpr std::uint16_t ipv4_udp_header_bytes = 28;
constexpr std::uint16_t max_payload_bytes(std::uint16_t mtu)
{
    return static_cast<std::uint16_t>(mtu - ipv4_udp_header_bytes);
}

class DatagramPort {
public:
    /// Timers, address acquisition, link. Bounded work.
    virtual void poll(Tsc now) = 0;
    /// Link, own address and next hop are known: send() may succeed.
    [[nodiscard]] virtual bool ready() = 0;
    /// Where the next datagram is composed, max_payload_bytes(mtu) long. It belongs to the
    /// caller until send().
    [[nodiscard]] virtual std::span<std::uint8_t> buffer() = 0;
    /// Sends the first `bytes` of buffer(). False: refused for now, nothing was sent.
    [[nodiscard]] virtual bool send(std::size_t bytes) = 0;
    /// Lets everything sent so far go out.
    virtual void kick() = 0;
    /// Next datagram from the collector's address and port, valid until the next call; empty when there is none.
    [[nodiscard]] virtual std::span<std::uint8_t> receive() = 0;

protected:
    ~DatagramPort() = default;
};

} // namespace undercroft::net
