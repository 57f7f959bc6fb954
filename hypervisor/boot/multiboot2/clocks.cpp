// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/clocks.hpp"

#include <algorithm>

#include "hypervisor/boot/multiboot2/clock_registers.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::multiboot2 {
namespace {

using core::in8;
using core::out8;
using core::read_tsc;

/// An access to a legacy port takes about a microsecond, in emulators more: a clock that has not moved by then does
/// not.
constexpr unsigned patience = 2000000;

/// Channel 2 of the 8254: nobody waits for its interrupt. 0: it stands still.
std::uint64_t measure_against_interval_timer()
{
    constexpr std::uint16_t gate_port = 0x61, channel_2 = 0x42, command = 0x43;
    constexpr std::uint8_t gate = 1, speaker = 2, output = 0x20, count_down_once = 0xB0;
    constexpr std::uint64_t timer_hz = 1193182, ticks = timer_hz / 50;
    std::uint8_t const before = in8(gate_port);
    out8(gate_port, static_cast<std::uint8_t>((before & ~speaker) | gate));
    out8(command, count_down_once);
    out8(channel_2, ticks & 0xFF);
    out8(channel_2, ticks >> 8);
    std::uint64_t const start = read_tsc();
    unsigned left = patience;
    while ((in8(gate_port) & output) == 0 && --left != 0) {
    }
    std::uint64_t const taken = read_tsc() - start;
    out8(gate_port, before);
    return left == 0 ? 0 : taken * timer_hz / ticks;
}

/// ACPI 6.4, 4.8.3.3: 24 bits or more at 3.579545 MHz.
std::uint64_t measure_against_acpi_timer(platform::AcpiAddress const& timer)
{
    constexpr std::uint64_t timer_hz = 3579545, ticks = timer_hz / 50, mask = 0xFFFFFF;
    if (timer.space != platform::AcpiAddress::Space::io || timer.address == 0 || timer.address > 0xFFFF)
        return 0;
    auto const port = static_cast<std::uint16_t>(timer.address);
    std::uint32_t const first = core::in32(port);
    std::uint64_t const start = read_tsc();
    unsigned left = patience;
    while (((core::in32(port) - first) & mask) < ticks && --left != 0) {
    }
    return left == 0 ? 0 : (read_tsc() - start) * timer_hz / ticks;
}

std::uint8_t clock_register(std::uint8_t index)
{
    out8(0x70, index);
    return in8(0x71);
}

ClockRegisters read_clock()
{
    constexpr std::uint8_t status_a = 0x0A, updating = 0x80;
    for (unsigned left = patience; left != 0 && (clock_register(status_a) & updating) != 0; --left) {
    }
    return {clock_register(0), clock_register(2), clock_register(4),    clock_register(7),
            clock_register(8), clock_register(9), clock_register(0x32), clock_register(0x0B)};
}

bool hardware_random(bool seeds, std::uint64_t& value)
{
    bool good = false;
    for (unsigned i = 0; i < 100 && !good; ++i)
        if (seeds)
            asm volatile("rdseed %0" : "=r"(value), "=@ccc"(good));
        else
            asm volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
    return good;
}

} // namespace

std::uint64_t measure_tsc_hz(platform::AcpiTables const& acpi)
{
    // What disturbs a measurement makes it longer.
    std::uint64_t best = 0;
    for (unsigned i = 0; i < 3; ++i) {
        std::uint64_t hz = measure_against_interval_timer();
        if (hz == 0 && acpi.fadt)
            hz = measure_against_acpi_timer(acpi.fadt->pm_timer);
        if (hz == 0)
            return 0;
        best = best == 0 ? hz : std::min(best, hz);
    }
    return best;
}

void wait_us(std::uint64_t tsc_hz, std::uint64_t microseconds)
{
    std::uint64_t const start = read_tsc(), ticks = tsc_hz / 1000 * microseconds / 1000;
    while (read_tsc() - start < ticks)
        __builtin_ia32_pause();
}

std::uint64_t read_clock_utc_ns()
{
    // Twice the same: no second has begun meanwhile.
    ClockRegisters clock = read_clock();
    for (unsigned i = 0; i < 5; ++i) {
        ClockRegisters const again = read_clock();
        if (again == clock)
            break;
        clock = again;
    }
    return clock_to_utc_ns(clock);
}

boot::Seeds gather_seeds(std::uint64_t state)
{
    constexpr std::uint32_t rdrand = 1U << 30, rdseed = 1U << 18;
    bool const seeds = core::cpuid(0).eax >= 7 && (core::cpuid(7).ebx & rdseed) != 0;
    bool const numbers = (core::cpuid(1).ecx & rdrand) != 0;
    boot::Seeds result;
    for (std::size_t at = 0; at < sizeof(result.bytes); at += 8) {
        std::uint64_t value = 0;
        if ((seeds && hardware_random(true, value)) || (numbers && hardware_random(false, value)))
            __builtin_memcpy(result.bytes + at, &value, sizeof(value));
    }
    boot::add_jitter(result, state, read_tsc);
    return result;
}

} // namespace undercroft::multiboot2
