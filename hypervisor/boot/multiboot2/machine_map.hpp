// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/boot/multiboot2/memory_map.hpp"
#include "hypervisor/core/system_memory.hpp"
#include "hypervisor/platform/acpi.hpp"

namespace undercroft::multiboot2 {

/// What the firmware's tables say of the machine. `map` is to be filled first.
struct MachineMap {
    MemoryMap map;
    RamRanges ram;
    platform::AcpiTables acpi; ///< its CPUs from the MP table where there is no MADT
    std::uint64_t rsdp = 0;

    void read();

private:
    core::SystemMemory memory_;
};

} // namespace undercroft::multiboot2
