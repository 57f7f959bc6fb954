// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hypervisor/core/cpu_driver.hpp"
#include "hypervisor/core/startup.hpp"

namespace undercroft::core {

struct PerCpu {
    std::uint64_t stack_top = 0; ///< first member: enter.cpp loads RSP from it
    std::uint32_t index = 0;
    std::uint32_t apic_id = 0;
    std::atomic<bool> entered{false};
    /// Has ended an interrupt since its last SIPI, after boot services ended: the
    /// operating system, not the firmware, runs on it.
    std::atomic<bool> runs_os{false};
    Mailbox mailbox;
    CpuDriver* driver = nullptr;
};
// Of a type that is not standard-layout offsetof is conditionally supported: this compiler does.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winvalid-offsetof"
static_assert(offsetof(PerCpu, stack_top) == 0);
#pragma clang diagnostic pop

inline constexpr std::size_t stack_bytes = 64 * 1024;

} // namespace undercroft::core
