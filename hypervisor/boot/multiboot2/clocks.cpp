// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/clocks.hpp"

#include "hypervisor/boot/multiboot2/clock_registers.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::multiboot2 {
namespace {

using core::in8;
using core::out8;
using core::read_tsc;

/// Loops that wait for a clock end after so many accesses; one takes about a microsecond, in emulators more.
constexpr unsigned patience = 2000000;
constexpr std::uint64_t span_per_second = 25; ///< measured over 40 ms

/// A timer's reading and the counter's at the same moment, as closely as can be had.
struct Sample {
    std::uint64_t tsc = 0, ticks = 0;
};

/// What comes between (an SMI, the host of a virtual machine) makes some readings late: the closest of several counts.
template <typename Timer>
Sample sample(Timer const& timer)
{
    Sample best;
    std::uint64_t closest = ~0ULL;
    for (unsigned i = 0; i < 16; ++i) {
        std::uint64_t const before = read_tsc();
        timer.latch();
        std::uint64_t const width = read_tsc() - before;
        std::uint64_t const ticks = timer.read();
        if (width < closest) {
            closest = width;
            best = {before + width / 2, ticks};
        }
    }
    return best;
}

/// 0: the timer stands still.
template <typename Timer>
std::uint64_t measure_against(Timer const& timer)
{
    Sample const first = sample(timer);
    std::uint64_t const wanted = Timer::hz / span_per_second;
    auto const passed = [&](Sample const& s) { return (s.ticks - first.ticks) & Timer::mask; };
    Sample last = first;
    for (unsigned left = patience / 16; left != 0 && passed(last) < wanted; --left)
        last = sample(timer);
    return passed(last) < wanted ? 0 : (last.tsc - first.tsc) * Timer::hz / passed(last);
}

/// ACPI 6.4, 4.8.3.3: 24 bits or more.
struct AcpiTimer {
    static constexpr std::uint64_t hz = 3579545, mask = 0xFFFFFF;
    std::uint16_t port;
    mutable std::uint32_t value = 0;

    void latch() const { value = core::in32(port); }
    [[nodiscard]] std::uint64_t read() const { return value; }
};

/// Channel 2 of the 8254, counting down from 65,535 once (55 ms): nobody waits for its interrupt.
class IntervalTimer {
public:
    static constexpr std::uint64_t hz = 1193182, mask = 0xFFFF;

    IntervalTimer() : gate_before_{in8(gate_port)}
    {
        out8(gate_port, static_cast<std::uint8_t>((gate_before_ & ~speaker) | gate));
        out8(command, 0xB0);
        out8(channel_2, 0xFF);
        out8(channel_2, 0xFF);
    }
    ~IntervalTimer() { out8(gate_port, gate_before_); }
    void latch() const { out8(command, 0x80); }
    [[nodiscard]] std::uint64_t read() const
    {
        unsigned const low = in8(channel_2);
        return 0xFFFF - (low | static_cast<unsigned>(in8(channel_2)) << 8);
    }
    /// It has come to its end: what it shows is of another round.
    [[nodiscard]] static bool over() { return (in8(gate_port) & output) != 0; }

private:
    static constexpr std::uint16_t gate_port = 0x61, channel_2 = 0x42, command = 0x43;
    static constexpr std::uint8_t gate = 1, speaker = 2, output = 0x20;
    std::uint8_t gate_before_;
};

std::uint64_t measure_against_interval_timer()
{
    for (unsigned i = 0; i < 10; ++i) {
        IntervalTimer const timer;
        std::uint64_t const hz = measure_against(timer);
        if (!IntervalTimer::over())
            return hz;
    }
    return 0;
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
    std::uint64_t hz = 0;
    if (acpi.fadt) {
        platform::AcpiAddress const& timer = acpi.fadt->pm_timer;
        if (timer.space == platform::AcpiAddress::Space::io && timer.address != 0 && timer.address <= 0xFFFF)
            hz = measure_against(AcpiTimer{static_cast<std::uint16_t>(timer.address)});
    }
    return hz != 0 ? hz : measure_against_interval_timer();
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
