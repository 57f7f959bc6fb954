// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Output to a 16550 UART (115200 8N1), polled. Waiting is bounded: a port without a
// reader or with dead flow control costs each line one glance, never a hang.
#include <cstdint>
#include <string_view>

#include "hypervisor/core/port_io.hpp"

namespace undercroft::core {

class SerialPort {
public:
    constexpr SerialPort() = default;
    /// Sets the UART up. False: nothing there that behaves like a 16550; write() then does nothing.
    bool open(PortIo& ports, std::uint16_t base);
    [[nodiscard]] bool is_open() const { return ports_ != nullptr; }
    /// False: the port did not take all of it in time.
    bool write(std::string_view text);

private:
    [[nodiscard]] bool wait_for_room();

    PortIo* ports_ = nullptr;
    std::uint16_t base_ = 0;
    std::uint8_t burst_ = 1; ///< bytes that an empty transmitter takes
    bool stalled_ = false;
};

} // namespace undercroft::core
