// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A fault inside the sensor: the other CPUs stop, what is left is sent (bounded), the machine is reset.
#include "hypervisor/core/local_apic.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/machine.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {
namespace {

[[noreturn]] void park()
{
    for (;;)
        asm volatile("cli; hlt");
}

std::uint64_t current_name()
{
    PerCpu const* const self = machine().current();
    return self == nullptr ? 1 : self->stack_top;
}

bool break_lock()
{
    if (machine().failure().owned_by(current_name()))
        return true; // the lock's holder is this CPU, or one that does nothing any more
    park();
}

} // namespace

void Machine::sensor_failed()
{
    switch (failure_.enter(current_name())) {
    case Failure::Role::park:
        park();
    case Failure::Role::wind_up:
        wind_up();
        break;
    case Failure::Role::end:
        break;
    }
    std::uint64_t const uptime_ms = (read_tsc() - info_->firmware_tsc) / ticks(1);
    if (Failure::may_reset(uptime_ms))
        reset_machine();
    log(LogLevel::error, str("halted: a reset so soon after the start might repeat this for ever"));
    park();
}

/// Guests are brought out by NMI and stop (Machine::take_kick), CPUs that wait for a lock stop there.
void Machine::wind_up()
{
    constexpr std::uint64_t patience_ms = 2000, settle_ms = 10;
    lock_breaker.store(&break_lock);
    PerCpu const* const self = current();
    for (PerCpu* const cpu : cpus())
        if (cpu != self && cpu->entered.load(std::memory_order_acquire))
            send_nmi(cpu->apic_id);
    for (std::uint64_t const start = read_tsc(); read_tsc() - start < ticks(settle_ms);)
        __builtin_ia32_pause();
    if (devices_ == nullptr || !devices_->drain(patience_ms))
        log(LogLevel::error, str("not everything could be sent"));
}

void Machine::reset_machine()
{
    log(LogLevel::error, str("resetting the machine"));
    out8(0xCF9, 0x02);
    out8(0xCF9, 0x06); // full reset, as the chipset does for a shutdown cycle
    park();
}

extern "C" void core_sensor_failed()
{
    machine().sensor_failed();
}

} // namespace undercroft::core
