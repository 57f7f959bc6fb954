// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the exit loop asks of the machine.
#include "base/width.hpp"
#include "hypervisor/core/host_environment.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/machine.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {

std::uint64_t AbsentMemory::load(std::uint64_t gpa, unsigned width)
{
    bool const reachable = memory_->reachable(Gpa{gpa}, width);
    if (reachable && !memory_->touches_sensor(Gpa{gpa}, width))
        return load_physical(gpa, width);
    if (reachable)
        counters_->add(wire::CounterId::sensor_memory_touched);
    return width_mask(width);
}

void AbsentMemory::store(std::uint64_t gpa, unsigned width, std::uint64_t value)
{
    if (!memory_->reachable(Gpa{gpa}, width))
        return;
    if (memory_->touches_sensor(Gpa{gpa}, width))
        counters_->add(wire::CounterId::sensor_memory_touched);
    else
        store_physical(gpa, width, value);
}

bool Machine::may_open(Gpa gpa)
{
    return !memory_.touches_sensor(gpa, 8) && guest_map_->may_write_while_stepping(gpa);
}

std::uint64_t Machine::efer_bits() const
{
    // AMD64 APM volume 2, 3.1.7, and volume 3, appendix E: which of EFER's bits this processor has.
    auto const extended = cpuid(0x80000001);
    auto const sizes = cpuid(0x80000008);
    auto const features_2 = cpuid(0x80000000).eax >= 0x80000021 ? cpuid(0x80000021).eax : 0;
    auto const when = [](std::uint32_t word, unsigned bit, unsigned efer_bit) {
        return std::uint64_t{word >> bit & 1} << efer_bit;
    };
    // A processor without SVM is none of AMD's, where a missing "no LMSLE" bit means nothing.
    std::uint32_t const has_lmsle = (extended.ecx & 1U << 2) != 0 ? ~sizes.ebx : 0;
    constexpr std::uint64_t long_mode = 1ULL << 0 | 1ULL << 8 | 1ULL << 10; // SCE, LME, LMA
    return long_mode | when(extended.edx, 20, 11) | when(has_lmsle, 20, 13) | when(extended.edx, 25, 14) |
           when(extended.ecx, 17, 15) | when(sizes.ebx, 8, 17) | when(sizes.ebx, 13, 18) | when(features_2, 7, 20) |
           when(features_2, 8, 21);
}

bool Machine::has_skinit() const
{
    return (cpuid(0x80000001).ecx & 1U << 12) != 0;
}

std::uint32_t Machine::processor_signature() const
{
    return cpuid(1).eax;
}

std::uint32_t Machine::port_read(std::uint16_t port, unsigned width)
{
    return pci_guard_->owns_port(port, width) ? pci_guard_->port_read(port, width) : in_port(port, width);
}

void Machine::port_write(std::uint16_t port, unsigned width, std::uint32_t value)
{
    if (power_->is_power_transition(port, width, value)) {
        log(LogLevel::info, str("power change: port "), hex(port), str(" value "), hex(value));
        drain_before_power_change();
    }
    if (auto const code = shutdown_code_.written(port, width, value); code)
        startup_watch_.shutdown_code(*code);
    if (pci_guard_->owns_port(port, width))
        pci_guard_->port_write(port, width, value);
    else
        out_port(port, width, value);
}

MsrAnswer Machine::msr_read(std::uint32_t number, std::uint64_t& value)
{
    if (auto const answer = vendor_->msr_read(number, value))
        return *answer;
    // Outside the bitmap's ranges every access exits.
    if (!try_read_msr(number, value))
        return MsrAnswer::fault;
    if (number == msr::tsc_adjust || (number == msr::tsc_deadline && value != 0))
        value += current()->driver->tsc_offset();
    return MsrAnswer::done;
}

MsrAnswer Machine::msr_write(std::uint32_t number, std::uint64_t value)
{
    switch (number) {
    case msr::x2apic_icr:
    case msr::x2apic_eoi:
        if (startup_watch_.write_x2apic(number, value))
            return MsrAnswer::done;
        return try_write_msr(number, value) ? MsrAnswer::done : MsrAnswer::fault;
    case msr::apic_base:
        return write_apic_base(value);
    case msr::tsc: // timestamps and timeouts of the sensor stay what they are
        current()->driver->set_guest_tsc(value);
        vendor_->intercept_msr(msr::tsc_deadline, true, true);
        return MsrAnswer::done;
    case msr::tsc_adjust:
        current()->driver->set_tsc_offset(value - read_msr(msr::tsc_adjust));
        vendor_->intercept_msr(msr::tsc_deadline, true, true);
        return MsrAnswer::done;
    case msr::tsc_deadline: // 0 disarms
        value = value == 0 ? 0 : value - current()->driver->tsc_offset();
        break;
    default:
        break;
    }
    if (auto const answer = vendor_->msr_write(number, value))
        return *answer;
    return try_write_msr(number, value) ? MsrAnswer::done : MsrAnswer::fault;
}

/// The register page may not move: over the sensor's memory it would stand between the sensor and its own data,
/// elsewhere it would escape the watch.
MsrAnswer Machine::write_apic_base(std::uint64_t value)
{
    constexpr std::uint64_t address = 0x000FFFFFFFFFF000;
    if (((value ^ read_msr(msr::apic_base)) & address) != 0) {
        counters_.add(wire::CounterId::msr_writes_refused);
        return MsrAnswer::fault;
    }
    return try_write_msr(msr::apic_base, value) ? MsrAnswer::done : MsrAnswer::fault;
}

void Machine::init_arrived()
{
    startup_watch_.init_arrived();
}

void Machine::note_exit(std::uint16_t cpu, std::uint64_t position)
{
    memory_watch_.monitor()->note_exit(cpu, position);
}

void Machine::note_away(std::uint64_t ticks)
{
    memory_watch_.monitor()->note_away(ticks);
}

bool Machine::memory_fault(backend::Exit const& exit, std::uint16_t cpu)
{
    return memory_watch_.fault(exit, cpu, now());
}

void Machine::after_exit(std::uint16_t cpu)
{
    if (memory_watch_.running())
        memory_watch_.monitor()->after_exit(cpu, now());
}

Tsc Machine::monitor_due() const
{
    return memory_watch_.due();
}

void Machine::run_monitor(Tsc now)
{
    memory_watch_.monitor()->tick(now);
}

bool Machine::wake_by(Tsc due, Tsc now)
{
    return card_timer_ != nullptr && card_timer_->wake_by(due, now);
}

bool Machine::take_wake(std::uint16_t cpu)
{
    return cpu == 0 && card_timer_ != nullptr && card_timer_->take(now());
}

void Machine::before_device_write(memory::PageRange pages)
{
    if (PerCpu const* const cpu = current(); cpu != nullptr && memory_watch_.running())
        memory_watch_.monitor()->device_write(pages, static_cast<std::uint16_t>(cpu->index), now());
}

void Machine::use(memory::ViewUse use)
{
    using enum backend::GuestView;
    vendor_->choose_view(use == memory::ViewUse::none     ? plain
                         : use == memory::ViewUse::faults ? monitored
                                                          : monitored_with_bits);
    flush_all_cpus();
}

bool Machine::hypercall(backend::Registers& registers, backend::PagingState const& paging)
{
    if (registers.gpr[0] == boot::hypercall_boot_services_ended && registers.gpr[3] == info_->boot_secret &&
        paging.cpl == 0 && !os_started()) {
        log(LogLevel::info, str("boot services ended: the operating system starts"));
        start_system();
        return true;
    }
    return control_->hypercall(registers, paging, memory_);
}

void Machine::start_system()
{
    os_started_.store(true, std::memory_order_release);
    devices_->set_before_os(false);
}

void Machine::note_bios_system(std::string_view sign)
{
    if (info_->route != boot::BootRoute::bios || os_started())
        return;
    log(LogLevel::info, str("the operating system starts: first sign "), str(sign));
    start_system();
}

std::uint64_t Machine::utc_now_ns() const
{
    return (devices_ != nullptr ? devices_->clock() : clock_).utc(clock_.tsc()).value;
}

void Machine::after_open_step()
{
    devices_->adopt_controllers();
}

bool Machine::commands_outstanding() const
{
    return devices_->commands_outstanding();
}

void Machine::drain_before_power_change()
{
    // Guests write reset commands that turn out to be none (keyboard controller probes): a
    // collector that did not answer last time is not waited for again until it has.
    std::uint64_t const acks = counters_.get(wire::CounterId::acks_accepted);
    std::uint64_t const patience_ms = acks == acks_at_failed_drain_ ? 50 : 5000;
    if (devices_->drain(patience_ms))
        return;
    acks_at_failed_drain_ = counters_.get(wire::CounterId::acks_accepted);
    log(LogLevel::warning, str("not everything was acknowledged in time"));
}

} // namespace undercroft::core
