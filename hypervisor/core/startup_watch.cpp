// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/startup_watch.hpp"

#include "hypervisor/core/log.hpp"
#include "hypervisor/core/machine.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {
namespace {

constexpr std::uint64_t reg_eoi = 0xB0;
/// How long after an announcement the guest may take until it sends INIT.
constexpr std::uint64_t announcement_ms = 10000;

unsigned current_index()
{
    PerCpu const* const self = machine().current();
    return self == nullptr ? 0 : self->index;
}

} // namespace

StartupWatch::StartupWatch(Machine& machine) : machine_{&machine}, registers_{bus_, router_, *this, &current_index} {}

void StartupWatch::write(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    registers_.write(offset, width, value);
    if (offset == reg_eoi)
        interrupt_ended();
}

bool StartupWatch::write_x2apic(std::uint32_t number, std::uint64_t value)
{
    if (number == msr::x2apic_eoi) {
        interrupt_ended();
        return false;
    }
    platform::Ipi const ipi = router_.judge(current_index(), platform::decode_x2apic_icr(value));
    if (ipi.action == platform::Ipi::Action::pass)
        return false;
    deliver(current_index(), ipi);
    return true;
}

void StartupWatch::interrupt_ended()
{
    if (!machine_->os_started())
        return;
    PerCpu* const self = machine_->current();
    if (self == nullptr)
        return;
    bool const first = !self->runs_os.exchange(true);
    if (first || read_tsc() - resumed_at_.load() > machine_->ticks(announcement_ms))
        stop_if_all_run();
}

void StartupWatch::stop_if_all_run()
{
    for (PerCpu* const cpu : machine_->cpus())
        if (cpu->entered.load() && !cpu->runs_os.load())
            return;
    machine_->stop_startup_watch();
}

void StartupWatch::shutdown_code(std::uint8_t code)
{
    if (code == platform::ShutdownCode::warm_start)
        resume();
    else if (machine_->os_started())
        stop_if_all_run(); // whom the announcement was for is started, or will not be
}

void StartupWatch::init_arrived()
{
    if (PerCpu* const self = machine_->current(); self != nullptr)
        self->runs_os.store(false);
    resume();
}

void StartupWatch::resume()
{
    resumed_at_.store(read_tsc());
    machine_->resume_startup_watch();
}

void StartupWatch::deliver(unsigned source, platform::Ipi const& ipi)
{
    if (ipi.action != platform::Ipi::Action::init && ipi.action != platform::Ipi::Action::startup)
        return;
    for (PerCpu* const cpu : machine_->cpus())
        if (ipi.targets.contains(cpu->index))
            call(*cpu, source, ipi);
}

void StartupWatch::call(PerCpu& target, unsigned source, platform::Ipi const& ipi)
{
    bool const init = ipi.action == platform::Ipi::Action::init;
    if (!init)
        machine_->note_bios_system("start-up IPI");
    log(LogLevel::debug, str(init ? "INIT" : "SIPI"), str(" to CPU "), dec(target.index), str(" vector "),
        hex(ipi.vector));
    if (init) {
        target.runs_os.store(false);
        target.mailbox.startup.post_init();
    } else if (!target.mailbox.startup.post_startup(ipi.vector)) {
        return; // it means nothing to a CPU that runs
    }
    if (target.index != source)
        machine_->call_until(
            target, init ? [](PerCpu& cpu) { return cpu.mailbox.startup.init_taken(); }
                         : [](PerCpu& cpu) { return !cpu.mailbox.startup.needs_attention(); });
}

} // namespace undercroft::core
