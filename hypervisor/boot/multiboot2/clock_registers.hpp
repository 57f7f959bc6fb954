// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The real-time clock's registers as a time (Motorola MC146818; ACPI 6.4, 4.8.2.4 for the century).
#include <cstdint>

#include "hypervisor/boot/utc.hpp"

namespace undercroft::multiboot2 {

struct ClockRegisters {
    std::uint8_t second, minute, hour, day, month, year, century, status_b;
    bool operator==(ClockRegisters const&) const = default;
};

/// Nanoseconds since 1970. 0: no valid time.
constexpr std::uint64_t clock_to_utc_ns(ClockRegisters const& clock)
{
    constexpr std::uint8_t hours_24 = 2, binary = 4, afternoon = 0x80;
    auto const number = [&](std::uint8_t raw) -> unsigned {
        return (clock.status_b & binary) != 0 ? raw : (raw >> 4) * 10U + (raw & 15U);
    };
    unsigned hour = number(static_cast<std::uint8_t>(clock.hour & ~afternoon));
    if ((clock.status_b & hours_24) == 0)
        hour = hour % 12 + ((clock.hour & afternoon) != 0 ? 12 : 0);
    else
        hour = number(clock.hour);
    // Not every BIOS keeps the century; two digits from 70 on are the last one's.
    unsigned const century = number(clock.century);
    unsigned const year = number(clock.year) + (century == 19 || century == 20 ? century * 100
                                                : number(clock.year) >= 70     ? 1900U
                                                                               : 2000U);
    unsigned const month = number(clock.month), day = number(clock.day);
    if (number(clock.second) > 60 || number(clock.minute) > 59 || hour > 23 || day < 1 || day > 31 || month < 1 ||
        month > 12 || year < 1970 || year > 2200)
        return 0;
    std::int64_t const seconds = boot::days_from_civil(year, month, day) * 86400 +
                                 static_cast<std::int64_t>(hour) * 3600 + number(clock.minute) * 60 +
                                 number(clock.second);
    return static_cast<std::uint64_t>(seconds) * 1000000000;
}

} // namespace undercroft::multiboot2
