// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Stands between the guest and the interrupt command register until every CPU runs the
// operating system under the sensor: INIT and SIPI are emulated, all else passes. Then
// the local APIC is the guest's alone and no interrupt or EOI exits any more, until the
// guest announces that it starts a CPU once more (platform/shutdown_code.hpp).
#include <atomic>
#include <cstdint>

#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/physical_bus.hpp"
#include "hypervisor/platform/apic_page.hpp"

namespace undercroft::core {

class Machine;
struct PerCpu;

class StartupWatch final : public MmioHandler, private platform::IpiSink {
public:
    explicit StartupWatch(Machine& machine);

    void add_cpu(unsigned index, std::uint32_t apic_id) { (void)router_.add_cpu(index, apic_id); }
    /// The register page that is watched (from IA32_APIC_BASE); 0 in x2APIC mode.
    void set_page(std::uint64_t address) { bus_.set_base(address); }
    [[nodiscard]] std::uint64_t page() const { return bus_.base(); }

    [[nodiscard]] std::uint64_t read(std::uint64_t offset, unsigned width) override
    {
        return registers_.read(offset, width);
    }
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override;
    /// x2APIC: writes to the ICR and EOI MSRs. False: let it reach the hardware.
    [[nodiscard]] bool write_x2apic(std::uint32_t number, std::uint64_t value);
    /// The guest writes the shutdown status byte.
    void shutdown_code(std::uint8_t code);
    /// An INIT that nobody announced has come through the hardware to the current CPU: its SIPI must not.
    void init_arrived();

private:
    void deliver(unsigned source, platform::Ipi const& ipi) override;
    void call(PerCpu& target, unsigned source, platform::Ipi const& ipi);
    void interrupt_ended();
    void resume();
    /// Ends the watch if every CPU runs the operating system.
    void stop_if_all_run();

    Machine* machine_;
    PhysicalBus bus_;
    platform::IpiRouter router_;
    platform::ApicPage registers_;
    std::atomic<std::uint64_t> resumed_at_{0}; ///< TSC
};

} // namespace undercroft::core
