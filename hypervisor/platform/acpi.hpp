// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the sensor needs from the firmware's ACPI tables: CPUs, ECAM, power-off and reset registers.
// Tables may be odd or hostile (the guest can rewrite them): unaligned, cut, self-referring. Everything
// is copied through GuestMemory, checked, and bounded; a bad table is skipped and logged.
#include <cstdint>
#include <optional>

#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/platform/fixed_list.hpp"

namespace undercroft::platform {

inline constexpr std::size_t max_cpus = 1024;
inline constexpr std::size_t max_ecam_segments = 16;

/// MADT entry type 0 (local APIC) or 9 (local x2APIC).
struct MadtCpu {
    std::uint32_t apic_id;
    bool enabled;        ///< ready for use
    bool online_capable; ///< not there now, may be added while running
};

/// MCFG entry. `base` belongs to bus 0, whatever start_bus says (PCI Firmware 3.2, 4.1.2).
struct EcamSegment {
    std::uint64_t base;
    std::uint16_t segment;
    std::uint8_t start_bus, end_bus;
};

/// Generic Address Structure, ACPI 6.4, 5.2.3.2.
struct AcpiAddress {
    enum class Space : std::uint8_t { memory = 0, io = 1, pci_config = 2 };
    Space space = Space::memory;
    std::uint64_t address = 0; ///< 0: there is no such register
};

struct Fadt {
    AcpiAddress pm1a_control, pm1b_control;
    AcpiAddress sleep_control; ///< hardware-reduced ACPI
    AcpiAddress pm_timer;
    std::optional<AcpiAddress> reset; ///< when the RESET_REG_SUP flag is set
    std::uint8_t reset_value = 0;
};

struct AcpiTables {
    FixedList<MadtCpu, max_cpus> cpus;
    std::uint64_t local_apic_base = 0; ///< 0: no MADT
    FixedList<EcamSegment, max_ecam_segments> ecam;
    std::optional<Fadt> fadt;
    unsigned bad_tables = 0; ///< skipped: not in RAM, wrong length or checksum

    /// CPUs that the firmware declares usable now.
    [[nodiscard]] unsigned enabled_cpus() const;
};

/// Reads everything reachable from the RSDP. False: there is no usable RSDP, XSDT or RSDT.
[[nodiscard]] bool read_acpi(core::GuestMemory const& memory, Gpa rsdp, AcpiTables& tables);

} // namespace undercroft::platform
