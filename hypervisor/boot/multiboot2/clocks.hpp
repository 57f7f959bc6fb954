// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "hypervisor/boot/entropy.hpp"
#include "hypervisor/platform/acpi.hpp"

namespace undercroft::multiboot2 {

/// Against ACPI's timer, else against the interval timer (whose clock some chipsets stop). 0: neither runs.
[[nodiscard]] std::uint64_t measure_tsc_hz(platform::AcpiTables const& acpi);
void wait_us(std::uint64_t tsc_hz, std::uint64_t microseconds);
/// The real-time clock, taken as UTC. 0: it holds no valid time.
[[nodiscard]] std::uint64_t read_clock_utc_ns();
/// From the processor's generator where there is one, and from the time-stamp counter's jitter always.
[[nodiscard]] boot::Seeds gather_seeds(std::uint64_t state);

} // namespace undercroft::multiboot2
