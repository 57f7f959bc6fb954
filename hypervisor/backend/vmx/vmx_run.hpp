// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// BasicVmxCpu: entries, exits and events.
#include "hypervisor/backend/vmx/vmx_state.hpp"
#include "hypervisor/core/log.hpp"

namespace undercroft::vmx {

template <typename Hw>
backend::Exit BasicVmxCpu<Hw>::run()
{
    prepare_entry();
    // Taken while the sensor ran. One that comes after this look opens the NMI window itself (note_nmi).
    if (take_noted_nmi())
        return {.kind = backend::ExitKind::nmi, .entered = false};
    bool const entered = hw_.enter(registers_.gpr, launched_);
    auto const why = static_cast<std::uint32_t>(hw_.read(Field::exit_reason));
    if (!entered || (why & reason::entry_failed) != 0)
        return entry_failure(entered ? why : ~0U);
    launched_ = true;
    event_ = 0;
    registers_.gpr[4] = rsp_ = hw_.read(Field::guest_rsp);
    keep_interrupted_event(why);
    backend::Exit const exit = classify(why);
    if (stepping_)
        finish_step(why);
    return exit;
}

template <typename Hw>
void BasicVmxCpu<Hw>::prepare_entry()
{
    if (registers_.gpr[4] != rsp_)
        hw_.write(Field::guest_rsp, rsp_ = registers_.gpr[4]);
    if (event_ != 0) {
        hw_.write(Field::entry_event, event_);
        if ((event_ & event::has_error_code) != 0)
            hw_.write(Field::entry_error_code, event_error_);
        hw_.write(Field::activity, 0); // an event ends HLT; the check of some types would refuse it
    }
    if (timer_armed_) {
        std::uint64_t const now = hw_.tsc();
        std::uint64_t const left = deadline_ > now ? (deadline_ - now) >> shared_->offered.timer_shift() : 0;
        hw_.write(Field::timer_value, left < 0xFFFF'FFFF ? left : 0xFFFF'FFFF);
    }
}

/// A guest state that cannot be entered is a bug of ours or a guest's in SMM: going on would fail for ever.
template <typename Hw>
backend::Exit BasicVmxCpu<Hw>::entry_failure(std::uint32_t why)
{
    using namespace core;
    log(LogLevel::error, str("VM entry failed: reason "), hex(why), str(" error "),
        dec(hw_.read(Field::instruction_error)), str(" qualification "), hex(hw_.read(Field::qualification)),
        str(" rip "), hex(rip()), str(" cr0 "), hex(hw_.read(Field::guest_cr0)), str(" cr4 "),
        hex(hw_.read(Field::guest_cr4)), str(" efer "), hex(guest_efer()), str(" cs "),
        hex(hw_.read(Field::guest_cs_rights)), str(" event "), hex(hw_.read(Field::entry_event)));
    return {.kind = backend::ExitKind::shutdown, .raw_reason = why};
}

template <typename Hw>
void BasicVmxCpu<Hw>::keep_interrupted_event(std::uint32_t why)
{
    auto const info = static_cast<std::uint32_t>(hw_.read(Field::vectoring_event));
    bool iret_bit = false;
    if (why == reason::ept_violation)
        iret_bit = (hw_.read(Field::qualification) & event::unblocked_by_iret) != 0;
    else if (why == reason::exception_or_nmi)
        iret_bit = (hw_.read(Field::exit_event) & event::unblocked_by_iret) != 0;
    if ((info & event::valid) == 0 && !iret_bit)
        return;
    auto const error = static_cast<std::uint32_t>(hw_.read(Field::vectoring_error_code));
    Reinjection const again = judge_vectoring({info, error}, iret_bit);
    event_ = again.info;
    event_error_ = again.error_code;
    if (again.open_nmis || again.block_nmis) {
        std::uint64_t const state = hw_.read(Field::interruptibility);
        hw_.write(Field::interruptibility, again.open_nmis ? state & ~blocking::nmi : state | blocking::nmi);
    }
}

template <typename Hw>
std::uint64_t BasicVmxCpu<Hw>::next_rip() const
{
    std::uint64_t const next = rip() + hw_.read(Field::exit_instruction_length);
    return next >> 32 == 0 || (hw_.read(Field::guest_cs_rights) & 1U << 13) != 0 ? next : next & 0xFFFF'FFFF;
}

template <typename Hw>
backend::Exit BasicVmxCpu<Hw>::classify(std::uint32_t why)
{
    using enum backend::ExitKind;
    backend::Exit exit{.raw_reason = why};
    auto const instruction = [&](backend::ExitKind kind) {
        exit.kind = kind;
        exit.next_rip = next_rip();
    };
    switch (why) {
    case reason::exception_or_nmi:
        // Exceptions are intercepted during a single step only; each ends it.
        exit.kind = (hw_.read(Field::exit_event) & event::type_mask) == event::type_nmi ? nmi : debug_trap;
        break;
    case reason::external_interrupt:
        exit.kind = interrupt;
        break;
    case reason::triple_fault:
        exit.kind = shutdown;
        break;
    case reason::init:
        exit.kind = init;
        break;
    case reason::nmi_window:
        close_nmi_window();
        exit.kind = handled;
        if (take_noted_nmi())
            exit.kind = nmi;
        else if (nmi_pending_)
            inject_nmi();
        break;
    case reason::cpuid:
        exit.kind = cpuid;
        emulate_cpuid();
        break;
    case reason::hlt:
    case reason::mwait:
        instruction(halt);
        break;
    case reason::invd: // as WBINVD: dropping the caches would drop the sensor's memory as well
        hw_.write_back_caches();
        exit.kind = handled;
        set_rip(next_rip());
        break;
    case reason::vmcall:
        instruction(hypercall);
        break;
    case reason::control_register:
        exit.kind = handled;
        emulate_control_register();
        break;
    case reason::io:
        instruction(port);
        describe_port(exit);
        break;
    case reason::rdmsr:
        instruction(msr_read);
        break;
    case reason::wrmsr:
        instruction(msr_write);
        break;
    case reason::ept_violation:
        return classify_nested_fault();
    case reason::ept_misconfiguration:
        core::log(core::LogLevel::error, core::str("EPT misconfiguration at "),
                  core::hex(hw_.read(Field::guest_physical_address)));
        exit.kind = shutdown;
        break;
    case reason::timer:
        exit.kind = timer;
        break;
    case reason::xsetbv:
        exit.kind = handled;
        emulate_xsetbv();
        break;
    default:
        if (why == reason::getsec || why == reason::invept || why == reason::invvpid ||
            (why >= reason::vmclear && why <= reason::vmxon))
            exit.kind = virtualisation;
        break;
    }
    return exit;
}

/// SDM table 28-7.
template <typename Hw>
backend::Exit BasicVmxCpu<Hw>::classify_nested_fault()
{
    constexpr std::uint64_t read = 1U << 0, write = 1U << 1, fetch = 1U << 2, linear_valid = 1U << 7,
                            final_access = 1U << 8;
    std::uint64_t const qualification = hw_.read(Field::qualification);
    backend::Exit exit{.kind = backend::ExitKind::nested_fault, .raw_reason = reason::ept_violation};
    if (std::uint64_t const vectoring = hw_.read(Field::vectoring_event); (vectoring & event::valid) != 0)
        exit.interrupted_event = vectoring;
    exit.during_event = exit.interrupted_event != 0;
    exit.gpa = Gpa{hw_.read(Field::guest_physical_address)};
    exit.is_read = (qualification & read) != 0;
    exit.is_write = (qualification & write) != 0;
    exit.is_fetch = (qualification & fetch) != 0;
    exit.by_page_walk = (qualification & (linear_valid | final_access)) == linear_valid;
    return exit;
}

/// SDM table 28-5.
template <typename Hw>
void BasicVmxCpu<Hw>::describe_port(backend::Exit& exit) const
{
    std::uint64_t const qualification = hw_.read(Field::qualification);
    exit.width = static_cast<std::uint8_t>((qualification & 7) + 1);
    exit.is_write = (qualification & 1U << 3) == 0;
    exit.string = (qualification & 1U << 4) != 0;
    exit.rep = (qualification & 1U << 5) != 0;
    exit.port = static_cast<std::uint16_t>(qualification >> 16);
}

template <typename Hw>
void BasicVmxCpu<Hw>::note_nmi()
{
    nmis_taken_.fetch_add(1, std::memory_order_release);
    // The sensor may be past its last look: the next entry must end at once. Past that look it writes the
    // controls no more, before it this bit is merely overwritten.
    hw_.write(Field::primary_controls, hw_.read(Field::primary_controls) | primary::nmi_window);
}

template <typename Hw>
bool BasicVmxCpu<Hw>::take_noted_nmi()
{
    if (nmis_taken_.load(std::memory_order_acquire) == 0)
        return false;
    nmis_taken_.fetch_sub(1, std::memory_order_acq_rel);
    return true;
}

template <typename Hw>
void BasicVmxCpu<Hw>::open_nmi_window()
{
    primary_ |= primary::nmi_window;
    update_primary();
}

template <typename Hw>
void BasicVmxCpu<Hw>::close_nmi_window()
{
    primary_ &= ~primary::nmi_window;
    update_primary();
}

template <typename Hw>
void BasicVmxCpu<Hw>::inject_nmi()
{
    bool const blocked = (hw_.read(Field::interruptibility) & (blocking::nmi | blocking::mov_ss | blocking::sti)) != 0;
    nmi_pending_ = blocked || event_ != 0;
    if (nmi_pending_)
        return open_nmi_window();
    event_ = event::valid | event::type_nmi | 2;
}

template <typename Hw>
void BasicVmxCpu<Hw>::inject_exception(std::uint8_t vector, bool has_error, std::uint32_t error)
{
    has_error = has_error && (hw_.read(Field::guest_cr0) & cr0_pe) != 0; // real mode pushes none
    event_ = event::valid | event::type_hardware | vector | (has_error ? event::has_error_code : 0);
    event_error_ = error;
}

template <typename Hw>
void BasicVmxCpu<Hw>::single_step(bool on)
{
    if (on == stepping_)
        return;
    if (!on)
        return close_view();
    stepping_ = true;
    // Without interrupts, so that no handler runs with the open view; likewise for exceptions.
    std::uint64_t const flags = rflags();
    guest_flags_ = flags & (trap_flag | interrupt_flag);
    set_rflags((flags & ~interrupt_flag) | trap_flag);
    // A shadow would ask for a pending trap (SDM 27.3.1.5), and is over after this instruction anyway.
    set_rip(rip());
    // One instruction, not all up to the next branch.
    std::uint64_t const debugctl = hw_.read(Field::guest_debugctl);
    guest_btf_ = debugctl & debugctl_btf;
    hw_.write(Field::guest_debugctl, debugctl & ~debugctl_btf);
    hw_.write(Field::exception_bitmap, 0xFFFF'FFFF);
    hw_.write(Field::ept_pointer, shared_->stepping_pointer);
}

template <typename Hw>
void BasicVmxCpu<Hw>::close_view()
{
    stepping_ = false;
    set_rflags((rflags() & ~(trap_flag | interrupt_flag)) | guest_flags_);
    hw_.write(Field::guest_debugctl, (hw_.read(Field::guest_debugctl) & ~debugctl_btf) | guest_btf_);
    hw_.write(Field::exception_bitmap, 0);
    hw_.write(Field::ept_pointer, shared_->running_pointer);
}

/// No other guest code than the stepped instruction may run with the open view: whatever ended
/// it, the view is closed. An exception of the instruction is the guest's own.
template <typename Hw>
void BasicVmxCpu<Hw>::finish_step(std::uint32_t why)
{
    constexpr std::uint32_t debug = 1, page_fault = 14;
    constexpr std::uint64_t breakpoint_bits = 0xF;
    // With BTF the guest wants branches: what is stepped accesses registers, and a branch by them is nothing sane.
    bool const guest_steps = (guest_flags_ & trap_flag) != 0 && guest_btf_ == 0;
    close_view();
    if (!guest_steps)
        hw_.write(Field::pending_debug, 0); // the trap of our own flag
    auto const raised = static_cast<std::uint32_t>(hw_.read(Field::exit_event));
    if (why != reason::exception_or_nmi || (raised & event::type_mask) == event::type_nmi)
        return;
    std::uint32_t const vector = raised & event::vector_mask;
    std::uint64_t const qualification = hw_.read(Field::qualification);
    if (vector == debug) { // the cause is in the qualification; DR6 has not changed
        std::uint64_t const cause = guest_steps ? qualification : qualification & ~single_step_bit;
        if (!guest_steps && (cause & breakpoint_bits) == 0)
            return;
        hw_.set_dr6((hw_.dr6() & ~breakpoint_bits) | cause);
        inject_exception(debug, false, 0);
        return;
    }
    if (vector == page_fault)
        hw_.set_cr2(qualification);
    auto const error = static_cast<std::uint32_t>(hw_.read(Field::exit_error_code));
    inject_exception(static_cast<std::uint8_t>(vector), (raised & event::has_error_code) != 0, error);
}

} // namespace undercroft::vmx
