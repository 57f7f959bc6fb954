// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/log.hpp"

#include <atomic>

#include "hypervisor/core/log_reader.hpp"
#include "hypervisor/core/log_serial.hpp"
#include "hypervisor/core/text.hpp"

namespace undercroft::core {
namespace {

constinit std::array<char, std::size_t{128} * 1024> ring_memory{};
constinit LogRing ring{ring_memory};
constinit std::atomic<std::uint8_t> most_detailed_level{static_cast<std::uint8_t>(LogLevel::info)};
constinit std::atomic<std::uint64_t (*)()> time_source{nullptr};
constinit SerialPort serial;
constinit std::atomic<bool> serial_open{false};
constinit Spinlock serial_lock;
constinit std::atomic<std::uint64_t> serial_cursor{0};
constinit std::array<char, LogRing::min_read_bytes> serial_line{};

/// Sends what the serial port has not seen yet; serial_lock is held. False: there was nothing to be had.
bool send_pending()
{
    for (bool any = false;; any = true) {
        LogRead const part = ring.read(serial_cursor.load(std::memory_order_relaxed), serial_line);
        if (part.lost != 0) {
            char message[64];
            TextBuffer note{message};
            note.put("(").put_decimal(part.lost).put(" lines lost here)\n");
            serial.write(note.view());
        }
        serial_cursor.store(part.next, std::memory_order_relaxed);
        if (part.bytes == 0)
            return any;
        // A line that the port does not take in time stays in the ring for `ucctl log`.
        serial.write({serial_line.data(), part.bytes});
    }
}

/// One CPU at a time sends for all, in order; the others only leave their lines in the ring.
void copy_to_serial()
{
    // Looked at again after unlocking: a line may have come while its writer found the lock taken.
    while (serial_cursor.load(std::memory_order_relaxed) < ring.next_sequence()) {
        if (!serial_lock.try_lock())
            return;
        bool const any = send_pending();
        serial_lock.unlock();
        if (!any)
            return;
    }
}

} // namespace

void log_line(LogLevel level, std::string_view text)
{
    if (static_cast<std::uint8_t>(level) > most_detailed_level.load(std::memory_order_relaxed))
        return;
    auto* const now_ns = time_source.load(std::memory_order_relaxed);
    ring.append(level, now_ns != nullptr ? now_ns() : 0, text);
    if (serial_open.load(std::memory_order_relaxed))
        copy_to_serial();
}

LogRead read_log(std::uint64_t cursor, std::span<char> into)
{
    return ring.read(cursor, into);
}

std::uint64_t next_log_line()
{
    return ring.next_sequence();
}

void set_log_level(LogLevel most_detailed)
{
    most_detailed_level.store(static_cast<std::uint8_t>(most_detailed), std::memory_order_relaxed);
}

void set_log_time(std::uint64_t (*now_ns)())
{
    time_source.store(now_ns, std::memory_order_relaxed);
}

bool set_log_serial(PortIo& ports, std::uint16_t base)
{
    serial_open.store(serial.open(ports, base), std::memory_order_relaxed);
    if (serial.is_open())
        copy_to_serial();
    return serial.is_open();
}

} // namespace undercroft::core
