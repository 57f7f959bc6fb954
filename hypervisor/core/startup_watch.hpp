// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Stands between the guest and the interrupt command register until every CPU runs the
// operating system under the sensor: INIT and SIPI are emulated, all else passes. Then
// the local APIC is the guest's alone and no interrupt or EOI exits any more.
#include <atomic>
#include <cstdint>

#include "hypervisor/core/mmio.hpp"

namespace undercroft::core {

class Machine;
struct PerCpu;

class StartupWatch final : public MmioHandler {
public:
    explicit StartupWatch(Machine& machine) : machine_{&machine} {}

    /// The register page that is watched (from IA32_APIC_BASE).
    void set_page(std::uint64_t address) { page_ = address; }
    [[nodiscard]] std::uint64_t page() const { return page_; }

    [[nodiscard]] std::uint64_t read(std::uint64_t offset, unsigned width) override;
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override;
    /// x2APIC: writes to the ICR and EOI MSRs. False: not one of these.
    bool write_x2apic(std::uint32_t msr, std::uint64_t value);
    /// IA32_APIC_BASE. False: refused (a moved register page would escape the watch).
    bool write_base(std::uint64_t value);

private:
    /// True when the command was INIT or SIPI and has been emulated.
    bool command(std::uint32_t low, std::uint32_t destination, bool x2apic);
    void deliver(PerCpu& cpu, bool init, std::uint8_t vector);
    void interrupt_ended();

    Machine* machine_;
    std::uint64_t page_ = 0;
};

} // namespace undercroft::core
