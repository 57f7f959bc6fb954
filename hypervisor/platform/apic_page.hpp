// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Traps the xAPIC's register page while INIT and SIPI must not reach hardware.
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/platform/apic.hpp"

namespace undercroft::platform {

/// Who carries an emulated INIT or SIPI out. Called on the sending CPU.
class IpiSink {
public:
    virtual void deliver(unsigned source, Ipi const& ipi) = 0;

protected:
    ~IpiSink() = default;
};

/// Every CPU sees its own APIC at the same address, so `apic` accesses are made on the CPU that exited and
/// current_cpu() tells which that is. Register widths other than 4 bytes are undefined on hardware: 8 bytes are
/// taken as two registers, fewer pass unless they would touch the ICR.
class ApicPage final : public core::MmioHandler {
public:
    ApicPage(core::MmioBus& apic, IpiRouter& router, IpiSink& sink, unsigned (*current_cpu)())
        : apic_{&apic}, router_{&router}, sink_{&sink}, current_cpu_{current_cpu}
    {
    }
    std::uint64_t read(std::uint64_t offset, unsigned width) override;
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override;
    /// Tells the router the logical ids that firmware gave the current CPU.
    void learn_logical();

private:
    void write_register(std::uint64_t offset, std::uint32_t value);

    core::MmioBus* apic_;
    IpiRouter* router_;
    IpiSink* sink_;
    unsigned (*current_cpu_)();
};

} // namespace undercroft::platform
