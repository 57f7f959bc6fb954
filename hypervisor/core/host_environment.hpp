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

/// NMIs that arrived while the sensor had GIF set (taken on purpose by consume_nmi()).
[[nodiscard]] std::uint64_t nmis_taken();

/// RDMSR and WRMSR of a number or value that the guest chose. False: the processor answered with #GP.
[[nodiscard]] bool try_read_msr(std::uint32_t number, std::uint64_t& value);
[[nodiscard]] bool try_write_msr(std::uint32_t number, std::uint64_t value);

} // namespace undercroft::core
