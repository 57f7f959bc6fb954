// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The contract of a network card driver (polled, no interrupts). One caller at a time.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace undercroft::net {

using MacAddress = std::array<std::uint8_t, 6>;

constexpr std::uint64_t to_number(MacAddress const& mac)
{
    std::uint64_t number = 0;
    for (std::uint8_t const byte : mac)
        number = number << 8 | byte;
    return number;
}
/// Neither a group's nor none.
constexpr bool is_station_address(MacAddress const& mac)
{
    return (mac[0] & 1) == 0 && to_number(mac) != 0;
}

class Nic {
public:
    [[nodiscard]] virtual MacAddress mac() const = 0;
    [[nodiscard]] virtual std::uint16_t max_frame_bytes() const = 0;
    /// Copies the frame into a transmit descriptor without ringing the doorbell. False: no free descriptor.
    [[nodiscard]] virtual bool queue(std::span<std::byte const> frame) = 0;
    /// Tells the card about everything queued (one register write).
    virtual void kick() = 0;
    /// Next received frame, valid until the next call; empty when there is none.
    [[nodiscard]] virtual std::span<std::byte const> receive() = 0;
    [[nodiscard]] virtual bool link_up() = 0;
    /// Megabits per second of the link; 0: the card does not tell.
    [[nodiscard]] virtual std::uint32_t link_speed_mbit() { return 0; }
    /// No DMA and no link after this: before its memory is handed back.
    virtual void stop() = 0;
    /// Frames the card dropped since the last call, for counters.
    [[nodiscard]] virtual std::uint64_t take_rx_dropped() = 0;

protected:
    ~Nic() = default;
};

} // namespace undercroft::net
