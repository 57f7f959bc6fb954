// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor's one log: reading it and setting it up (core/log.hpp is for writing).
#include <cstdint>
#include <span>

#include "hypervisor/core/log_ring.hpp"
#include "hypervisor/core/port_io.hpp"

namespace undercroft::core {

/// Lines from \p cursor on; any CPU. \p into of at least LogRing::min_read_bytes always makes progress.
[[nodiscard]] LogRead read_log(std::uint64_t cursor, std::span<char> into);
/// The number that the next line will get.
[[nodiscard]] std::uint64_t next_log_line();

/// Less important lines are not kept (default: info).
void set_log_level(LogLevel most_detailed);
/// Where time stamps come from: nanoseconds since the sensor's start. Without it they are 0.
void set_log_time(std::uint64_t (*now_ns)());
/// Copies every line, those already in the ring too, to a 16550 at \p base. Call once, before other CPUs run.
/// False: no such port.
bool set_log_serial(PortIo& ports, std::uint16_t base);

} // namespace undercroft::core
