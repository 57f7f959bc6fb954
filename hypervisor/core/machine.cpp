// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/machine.hpp"

#include "hypervisor/core/host_environment.hpp"
#include "hypervisor/core/local_apic.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {
namespace {

alignas(64) std::byte machine_memory[sizeof(Machine)];
Machine* the_machine = nullptr;

/// How long a call to another CPU is repeated before it is given up (it is logged then).
constexpr std::uint64_t call_timeout_ms = 200;
constexpr std::uint64_t kick_interval_us = 500;

} // namespace

Machine& machine()
{
    if (the_machine == nullptr)
        the_machine = new (machine_memory) Machine;
    return *the_machine;
}

Machine::Machine() : absent_{memory_, counters_}, router_{absent_}, startup_watch_{*this} {}

Tsc Machine::now() const
{
    return Tsc{read_tsc()};
}

PerCpu* Machine::by_apic_id(std::uint32_t apic_id)
{
    for (PerCpu* const cpu : cpus())
        if (cpu->entered.load(std::memory_order_acquire) && cpu->apic_id == apic_id)
            return cpu;
    return nullptr;
}

PerCpu* Machine::current()
{
    // Each CPU runs on its own stack, and the stacks lie in the region in CPU order.
    auto const here = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
    for (PerCpu* const cpu : cpus())
        if (here <= cpu->stack_top && here > cpu->stack_top - stack_bytes)
            return cpu;
    return nullptr;
}

PerCpu* Machine::adopt(std::uint32_t index, CapturedState const& captured, boot::StartResult& result)
{
    result = boot::StartResult::too_many_cpus;
    if (index >= cpu_count_)
        return nullptr;
    PerCpu& cpu = *cpus_[index];
    cpu.apic_id = local_apic_id();
    cpu.mailbox.startup.set_bootstrap((read_msr(msr::apic_base) & 1U << 8) != 0);
    startup_watch_.add_cpu(cpu.index, cpu.apic_id);
    result = cpu.driver->capture(captured);
    if (result != boot::StartResult::ok)
        return nullptr;
    cpu.entered.store(true, std::memory_order_release);
    counters_.add(wire::CounterId::cpus_controlled);
    return &cpu;
}

void Machine::run(PerCpu& cpu)
{
    vendor_->hold_events();
    load_host_environment(host_->root());
    cpu.driver->flush_nested(); // the view may have been changed while this CPU was on its way
    log(LogLevel::info, str("CPU "), dec(cpu.index), str(" (APIC id "), dec(cpu.apic_id), str(") is under the sensor"));
    cpu.driver->run();
}

void Machine::kick(PerCpu& target)
{
    target.mailbox.note_kick(read_tsc());
    send_nmi(target.apic_id);
    target.mailbox.note_sent();
}

void Machine::call_until(PerCpu& target, bool (*done)(PerCpu&))
{
    std::uint64_t const ticks_per_ms = info_->tsc_hz / 1000;
    std::uint64_t const start = read_tsc();
    std::uint64_t last_kick = 0;
    PerCpu* const self = current();
    std::atomic_thread_fence(std::memory_order_seq_cst); // the request first, then where the target is
    // A CPU in the sensor may be waiting for a lock that we hold, and looks at its requests before it goes on.
    while (!done(target) && (target.mailbox.in_guest() || target.mailbox.startup.needs_attention())) {
        std::uint64_t const now = read_tsc();
        if (now - start > call_timeout_ms * ticks_per_ms) {
            log(LogLevel::warning, str("CPU "), dec(target.index), str(" does not answer a call"));
            return;
        }
        if (now - last_kick > kick_interval_us * ticks_per_ms / 1000) {
            kick(target);
            last_kick = now;
        }
        // Two CPUs that call each other must not wait for ever.
        if (self != nullptr && self->mailbox.take_flush())
            self->driver->flush_nested();
        __builtin_ia32_pause();
    }
}

void Machine::flush_all_cpus()
{
    PerCpu* const self = current();
    for (PerCpu* const cpu : cpus()) {
        if (cpu == self)
            cpu->driver->flush_nested();
        else if (cpu->entered.load(std::memory_order_acquire))
            cpu->mailbox.post_flush();
    }
    for (PerCpu* const cpu : cpus())
        if (cpu != self && cpu->entered.load(std::memory_order_acquire))
            call_until(*cpu, [](PerCpu& target) { return !target.mailbox.flush_pending(); });
}

bool Machine::hold()
{
    PerCpu* const self = current();
    auto const others = [this, self](auto&& visit) {
        for (PerCpu* const cpu : cpus())
            if (cpu != self && cpu->entered.load(std::memory_order_acquire))
                visit(*cpu);
    };
    others([](PerCpu& cpu) { cpu.mailbox.post_hold(); });
    bool all = true;
    others([&](PerCpu& cpu) {
        call_until(cpu, [](PerCpu& target) { return !target.mailbox.in_guest(); });
        all = all && !cpu.mailbox.in_guest();
    });
    return all;
}

void Machine::release()
{
    for (PerCpu* const cpu : cpus())
        cpu->mailbox.release();
}

bool Machine::take_kick(Mailbox& mailbox)
{
    constexpr std::uint64_t patience_ms = 500; // an emulator's CPU may stand still that long
    if (failure_.happened())
        sensor_failed();
    return mailbox.take_kick(read_tsc(), ticks(patience_ms));
}

bool Machine::interrupt_waits() const
{
    return local_apic_request_pending();
}

void Machine::guest_shutdown()
{
    log(LogLevel::warning, str("the guest has triple-faulted: resetting the machine"));
    drain_before_power_change();
    reset_machine();
}

extern "C" PerCpu* core_adopt_cpu(std::uint32_t cpu_index, CapturedState const* captured, std::uint32_t* result)
{
    boot::StartResult why{};
    PerCpu* const cpu = machine().adopt(cpu_index, *captured, why);
    *result = static_cast<std::uint32_t>(why);
    return cpu;
}

extern "C" void core_run_cpu(PerCpu* cpu)
{
    machine().run(*cpu);
}

} // namespace undercroft::core
