// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a BIOS leaves its tables, and the CPUs of machines from before ACPI: MultiProcessor Specification 1.4,
// chapter 4. Everything is copied through GuestMemory, checked, and bounded.
#include <cstdint>
#include <optional>

#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/platform/acpi.hpp"

namespace undercroft::multiboot2 {

/// ACPI's root pointer: in the first KiB of the extended BIOS data area or in 0xE0000-0xFFFFF (ACPI 6.4, 5.2.5.1).
/// 0: there is none.
[[nodiscard]] std::uint64_t find_rsdp(core::GuestMemory const& memory);

/// Adds the CPUs of the MP configuration table to `cpus`. False: there is no usable table.
[[nodiscard]] bool read_mp_table(core::GuestMemory const& memory,
                                 platform::FixedList<platform::MadtCpu, platform::max_cpus>& cpus);

} // namespace undercroft::multiboot2
