// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/apic.hpp"

namespace undercroft::platform {
namespace {

/// Fields common to both forms.
Icr decode_low(std::uint32_t low)
{
    Icr icr;
    icr.vector = static_cast<std::uint8_t>(low);
    icr.mode = static_cast<DeliveryMode>(low >> 8 & 7);
    icr.logical = (low >> 11 & 1) != 0;
    bool const level_assert = (low >> 14 & 1) != 0;
    bool const level_triggered = (low >> 15 & 1) != 0;
    icr.deassert = level_triggered && !level_assert;
    icr.shorthand = static_cast<Shorthand>(low >> 18 & 3);
    return icr;
}

constexpr std::uint32_t xapic_broadcast = 0xff, x2apic_broadcast = 0xffffffff;

/// Message destination address against LDR, flat or cluster model.
bool matches_xapic_logical(std::uint32_t destination, std::uint32_t ldr, std::uint32_t dfr)
{
    if (destination == xapic_broadcast)
        return true;
    std::uint32_t const logical_id = ldr >> 24;
    if (dfr >> 28 == 0xf)
        return (destination & logical_id) != 0;
    std::uint32_t const cluster = destination >> 4;
    return (cluster == 0xf || cluster == logical_id >> 4) && (destination & logical_id & 0xf) != 0;
}

/// In x2APIC mode the logical id follows from the id: cluster in the upper half, one bit in the lower.
bool matches_x2apic_logical(std::uint32_t destination, std::uint32_t apic_id)
{
    return destination >> 16 == apic_id >> 4 && (destination >> (apic_id & 0xf) & 1) != 0;
}

} // namespace

Icr decode_xapic_icr(std::uint32_t low, std::uint32_t high)
{
    Icr icr = decode_low(low);
    icr.destination = high >> 24;
    return icr;
}

Icr decode_x2apic_icr(std::uint64_t value)
{
    Icr icr = decode_low(static_cast<std::uint32_t>(value));
    icr.destination = static_cast<std::uint32_t>(value >> 32);
    icr.x2apic = true;
    return icr;
}

bool IpiRouter::add_cpu(unsigned cpu, std::uint32_t apic_id)
{
    if (cpu >= max_cpus)
        return false;
    cpus_[cpu].present = true;
    cpus_[cpu].apic_id = apic_id;
    return true;
}

void IpiRouter::set_logical(unsigned cpu, std::uint32_t ldr, std::uint32_t dfr)
{
    if (cpu >= max_cpus)
        return;
    cpus_[cpu].ldr.store(ldr, std::memory_order_relaxed);
    cpus_[cpu].dfr.store(dfr, std::memory_order_relaxed);
}

bool IpiRouter::is_destination(Cpu const& cpu, Icr const& icr) const
{
    if (icr.x2apic) {
        if (icr.destination == x2apic_broadcast)
            return true;
        return icr.logical ? matches_x2apic_logical(icr.destination, cpu.apic_id) : icr.destination == cpu.apic_id;
    }
    if (icr.logical)
        return matches_xapic_logical(icr.destination, cpu.ldr.load(std::memory_order_relaxed),
                                     cpu.dfr.load(std::memory_order_relaxed));
    return icr.destination == xapic_broadcast || icr.destination == cpu.apic_id;
}

Ipi IpiRouter::judge(unsigned source, Icr const& icr) const
{
    Ipi ipi;
    if (icr.mode != DeliveryMode::init && icr.mode != DeliveryMode::startup)
        return ipi;
    ipi.action = Ipi::Action::swallow;
    ipi.vector = icr.vector;
    if (icr.deassert && icr.mode == DeliveryMode::init)
        return ipi;
    // "Self" and "all including self" are not valid with INIT and SIPI (SDM table 11-3): they do nothing.
    if (icr.shorthand == Shorthand::self || icr.shorthand == Shorthand::all)
        return ipi;
    bool any = false;
    for (unsigned cpu = 0; cpu < max_cpus; ++cpu) {
        bool const meant = icr.shorthand == Shorthand::all_but_self ? cpu != source : is_destination(cpus_[cpu], icr);
        if (!cpus_[cpu].present || !meant)
            continue;
        ipi.targets.add(cpu);
        any = true;
    }
    if (any)
        ipi.action = icr.mode == DeliveryMode::init ? Ipi::Action::init : Ipi::Action::startup;
    return ipi;
}

void StartupMailbox::post_init()
{
    // Whatever was kept came before this INIT and is void.
    state_.store(pack(Phase::init_posted, false, 0), std::memory_order_release);
}

bool StartupMailbox::post_startup(std::uint8_t vector)
{
    std::uint32_t state = state_.load(std::memory_order_acquire);
    while (static_cast<Phase>(state & 3) != Phase::running && (state & startup_kept) == 0 && !bootstrap_) {
        std::uint32_t const next = pack(static_cast<Phase>(state & 3), true, vector);
        if (state_.compare_exchange_weak(state, next, std::memory_order_acq_rel))
            return true;
    }
    return false;
}

StartupAction StartupMailbox::take()
{
    std::uint32_t state = state_.load(std::memory_order_acquire);
    for (;;) {
        auto const phase = static_cast<Phase>(state & 3);
        bool const kept = (state & startup_kept) != 0;
        StartupAction action;
        std::uint32_t next = state;
        if (phase == Phase::init_posted && bootstrap_) {
            action.kind = StartupAction::Kind::reset_vector;
            next = 0;
        } else if (phase != Phase::running && kept) {
            action = {StartupAction::Kind::start, static_cast<std::uint8_t>(state >> 16)};
            next = 0;
        } else if (phase == Phase::init_posted) {
            action.kind = StartupAction::Kind::wait;
            next = pack(Phase::waiting, false, 0);
        } else {
            return action;
        }
        if (state_.compare_exchange_weak(state, next, std::memory_order_acq_rel))
            return action;
    }
}

} // namespace undercroft::platform
