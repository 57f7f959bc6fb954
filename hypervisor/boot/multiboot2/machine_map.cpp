// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/machine_map.hpp"

#include "hypervisor/boot/multiboot2/mp_table.hpp"
#include "hypervisor/core/x86.hpp"
#include "hypervisor/paging/memory_type.hpp"

namespace undercroft::multiboot2 {
namespace {

constinit paging::MtrrRegisters mtrrs{};
constinit boot::BootInfo ranges_only{}; // how SystemMemory takes its ranges

/// A PCI configuration space is no memory, even where no MTRR says so.
bool is_cached(void const* context, std::uint64_t start, std::uint64_t end)
{
    constexpr std::uint32_t has_mtrrs = 1U << 12;
    if ((core::cpuid(1).edx & has_mtrrs) == 0)
        return false;
    for (platform::EcamSegment const& segment : static_cast<platform::AcpiTables const*>(context)->ecam)
        if (start < segment.base + ((std::uint64_t{segment.end_bus} + 1) << 20) && segment.base < end)
            return false;
    unsigned const bits = core::cpuid(0x80000000).eax >= 0x80000008 ? core::cpuid(0x80000008).eax & 0xFF : 36;
    return paging::MtrrMap{mtrrs, bits}.type_of(start, end) == paging::MemoryType::write_back;
}

} // namespace

void MachineMap::read()
{
    paging::read_mtrrs(core::read_msr, mtrrs);
    ram = find_ram(map, &is_cached, &acpi);
    for (boot::MemoryRange const& range : ram.ranges())
        ranges_only.memory[ranges_only.memory_ranges++] = range;
    (void)memory_.configure(ranges_only); // there is no region yet to protect
    memory_.set_end(1ULL << 32);
    rsdp = find_rsdp(memory_);
    if (rsdp == 0 || !platform::read_acpi(memory_, Gpa{rsdp}, acpi) || acpi.cpus.empty())
        (void)read_mp_table(memory_, acpi.cpus); // without either there is one CPU
    ram = find_ram(map, &is_cached, &acpi);      // now that the configuration spaces are known
}

} // namespace undercroft::multiboot2
