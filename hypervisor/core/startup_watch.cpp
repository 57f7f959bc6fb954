// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/startup_watch.hpp"

#include "hypervisor/core/log.hpp"
#include "hypervisor/core/machine.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {
namespace {

constexpr std::uint64_t reg_eoi = 0xB0, reg_icr_low = 0x300, reg_icr_high = 0x310;

} // namespace

std::uint64_t StartupWatch::read(std::uint64_t offset, unsigned width) { return load_physical(page_ + offset, width); }

void StartupWatch::write(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    if (offset == reg_icr_low && width >= 4) {
        std::uint64_t const high = load_physical(page_ + reg_icr_high, 4);
        if (command(static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(high >> 24), false))
            return;
    }
    store_physical(page_ + offset, width, value);
    if (offset == reg_eoi)
        interrupt_ended();
}

bool StartupWatch::write_x2apic(std::uint32_t msr, std::uint64_t value)
{
    if (msr == svm::msr::x2apic_eoi) {
        interrupt_ended();
        return false;
    }
    return command(static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32), true);
}

bool StartupWatch::write_base(std::uint64_t value)
{
    constexpr std::uint64_t address = 0x000FFFFFFFFFF000;
    if (page_ != 0 && (value & address) != page_) {
        log(LogLevel::warning, str("the guest moves its local APIC to "), hex(value & address), str(": refused"));
        return false;
    }
    write_msr(svm::msr::apic_base, value);
    return true;
}

void StartupWatch::interrupt_ended()
{
    if (!machine_->os_started())
        return;
    PerCpu* const self = machine_->current();
    if (self == nullptr || self->runs_os.exchange(true))
        return;
    for (PerCpu* const cpu : machine_->cpus())
        if (cpu->entered.load() && !cpu->runs_os.load())
            return;
    machine_->stop_startup_watch();
}

} // namespace undercroft::core
