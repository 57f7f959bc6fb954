// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor's own GDT, IDT and page tables: what a CPU runs with between exits.
#include <cstddef>
#include <cstdint>

namespace undercroft::core {

/// Builds GDT and IDT once, before the first CPU enters.
void build_host_tables();

/// Loads the sensor's GDT, IDT and CR3 and switches off what only the guest wants (SMEP,
/// SMAP, PCID, CET, ...). Interrupts must be held off (GIF clear or IF clear).
void load_host_environment(std::uint64_t page_table_root);

/// NMIs that the sensor's own handler took.
[[nodiscard]] std::uint64_t nmis_taken();

/// Where the sensor's own tables lie, for a CPU that loads them at each exit.
struct HostTables {
    std::uint16_t code_selector, data_selector, task_selector;
    std::uint64_t gdt_base, idt_base, task_base;
};
[[nodiscard]] HostTables host_tables();

/// `hook` is called on the CPU that takes an NMI with the sensor's own handler.
void set_nmi_hook(void (*hook)());

/// An IRET to the next instruction: ends the blocking of NMIs.
inline void execute_iret()
{
    asm volatile("mov %%rsp, %%rax; mov %%ss, %%ecx; push %%rcx; push %%rax; pushfq\n"
                 "mov %%cs, %%ecx; push %%rcx; lea 1f(%%rip), %%rcx; push %%rcx\n"
                 "iretq\n"
                 "1:\n"
                 :
                 :
                 : "rax", "rcx", "memory", "cc");
}

/// XSETBV with a number and value that the guest chose. False: #GP.
[[nodiscard]] bool try_xsetbv(std::uint32_t index, std::uint64_t value);

/// RDMSR and WRMSR of a number or value that the guest chose. False: the processor answered with #GP.
[[nodiscard]] bool try_read_msr(std::uint32_t number, std::uint64_t& value);
[[nodiscard]] bool try_write_msr(std::uint32_t number, std::uint64_t value);

} // namespace undercroft::core
