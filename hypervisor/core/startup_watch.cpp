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

bool StartupWatch::command(std::uint32_t low, std::uint32_t destination, bool x2apic)
{
    constexpr std::uint32_t mode_init = 5, mode_sipi = 6;
    std::uint32_t const mode = low >> 8 & 7;
    if (mode != mode_init && mode != mode_sipi)
        return false;
    bool const deassert = mode == mode_init && (low & (1U << 14)) == 0 && (low & (1U << 15)) != 0;
    if (deassert)
        return true; // has no effect since the Pentium 4
    PerCpu* const self = machine_->current();
    std::uint32_t const shorthand = low >> 18 & 3;
    std::uint32_t const everybody = x2apic ? 0xFFFFFFFF : 0xFF;
    for (PerCpu* const cpu : machine_->cpus()) {
        if (!cpu->entered.load(std::memory_order_acquire))
            continue;
        bool target = false;
        switch (shorthand) {
        case 0: target = destination == everybody || cpu->apic_id == destination; break;
        case 1: target = cpu == self; break;
        case 2: target = true; break;
        default: target = cpu != self; break;
        }
        if (target)
            deliver(*cpu, mode == mode_init, static_cast<std::uint8_t>(low));
    }
    return true;
}

void StartupWatch::deliver(PerCpu& cpu, bool init, std::uint8_t vector)
{
    log(LogLevel::debug, str(init ? "INIT" : "SIPI"), str(" to CPU "), dec(cpu.index), str(" vector "), hex(vector));
    if (init) {
        cpu.runs_os.store(false);
        cpu.mailbox.post_init();
        if (&cpu != machine_->current())
            machine_->post_and_wait(cpu, Mailbox::init);
        return;
    }
    if (!cpu.mailbox.waits_for_sipi() && (cpu.mailbox.pending() & Mailbox::init) == 0)
        return; // as by hardware: a SIPI means nothing to a CPU that runs
    cpu.mailbox.post_sipi(vector);
    if (&cpu != machine_->current())
        machine_->post_and_wait(cpu, Mailbox::sipi);
}

} // namespace undercroft::core
