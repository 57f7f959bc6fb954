// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/log_serial.hpp"

#include "hypervisor/core/text.hpp"

namespace undercroft::core {
namespace {

// 16550 registers: offset from the base port (National PC16550D, table of registers).
constexpr std::uint16_t transmit = 0, interrupt_enable = 1, fifo_control = 2, line_control = 3, modem_control = 4,
                        line_status = 5, scratch = 7, divisor_low = 0, divisor_high = 1;
constexpr std::uint8_t divisor_access = 0x80, eight_bits = 0x03, fifo_on_and_clear = 0x07, fifo_works = 0xc0,
                       terminal_and_request = 0x03, transmitter_empty = 0x20;

/// 16 bytes take 1.4 ms at 115200 baud; a port read takes about 1 us.
constexpr unsigned wait_polls = 20'000;

} // namespace

bool SerialPort::open(PortIo& ports, std::uint16_t base)
{
    ports_ = nullptr;
    ports.store(static_cast<std::uint16_t>(base + scratch), 1, 0x5a);
    bool const answers = ports.load(static_cast<std::uint16_t>(base + scratch), 1) == 0x5a &&
                         ports.load(static_cast<std::uint16_t>(base + line_status), 1) != 0xff;
    if (!answers)
        return false;
    auto const set = [&](std::uint16_t offset, std::uint8_t value) {
        ports.store(static_cast<std::uint16_t>(base + offset), 1, value);
    };
    set(interrupt_enable, 0);
    set(line_control, divisor_access);
    set(divisor_low, 1);
    set(divisor_high, 0);
    set(line_control, eight_bits);
    set(fifo_control, fifo_on_and_clear);
    set(modem_control, terminal_and_request);
    std::uint32_t const identification = ports.load(static_cast<std::uint16_t>(base + fifo_control), 1);
    burst_ = (identification & fifo_works) == fifo_works ? 16 : 1;
    base_ = base;
    stalled_ = false;
    ports_ = &ports;
    return true;
}

bool SerialPort::wait_for_room()
{
    unsigned const polls = stalled_ ? 1 : wait_polls;
    for (unsigned i = 0; i < polls; ++i) {
        if ((ports_->load(static_cast<std::uint16_t>(base_ + line_status), 1) & transmitter_empty) != 0) {
            stalled_ = false;
            return true;
        }
    }
    stalled_ = true;
    return false;
}

bool SerialPort::write(std::string_view text)
{
    if (ports_ == nullptr)
        return false;
    while (!text.empty()) {
        if (!wait_for_room())
            return false;
        for (char const c : slice(text, 0, burst_))
            ports_->store(static_cast<std::uint16_t>(base_ + transmit), 1, static_cast<std::uint8_t>(c));
        text = slice(text, burst_);
    }
    return true;
}

} // namespace undercroft::core
