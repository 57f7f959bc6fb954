// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/svm/svm_cpu.hpp"

#include <array>

#include "hypervisor/backend/captured.hpp"
#include "hypervisor/backend/svm/hardware.hpp"
#include "hypervisor/core/shared_bits.hpp"

namespace undercroft::svm {
namespace {

using backend::Exit;
using backend::ExitKind;

constexpr std::uint64_t trap_flag = 1ULL << 8, interrupt_flag = 1ULL << 9;
constexpr std::uint64_t interrupt_info_valid = 1ULL << 31, interrupt_info_type = 7ULL << 8;
constexpr std::uint8_t double_fault = 8, protection_fault = 13, first_interrupt = 32;
/// Always intercepted: above CPL 0 virtualisation instructions raise #GP where SVM is on, and #UD where it is off.
constexpr std::uint32_t exceptions_of_guest = 1U << protection_fault;
/// With a second fault on top these make a double fault (APM volume 2, 8.2.9): #DE, #TS, #NP, #SS, #GP; #PF.
constexpr std::uint32_t contributory = 1U << 0 | 0xFU << 10 | 1U << 14;

VmcbSegment read_segment(std::uint16_t selector, core::TablePointer const& gdt)
{
    core::Descriptor const value = core::read_descriptor(selector, gdt);
    return {selector, value.attributes, value.limit, value.base};
}

std::uint64_t rotate_msr_index(std::uint32_t number)
{
    // APM 15.11: three ranges of 8,192 MSRs, two bits each.
    if (number < 0x2000)
        return number;
    if (number >= 0xC0000000 && number < 0xC0002000)
        return 0x2000 + (number - 0xC0000000);
    return 0x4000 + (number - 0xC0010000);
}

} // namespace

void intercept_msr(std::uint8_t* msrpm, std::uint32_t number, bool read, bool write)
{
    std::uint64_t const bit = rotate_msr_index(number) * 2;
    core::set_shared_bit(msrpm, bit, read);
    core::set_shared_bit(msrpm, bit + 1, write);
}

void intercept_port(std::uint8_t* iopm, std::uint16_t port, bool on)
{
    core::set_shared_bit(iopm, port, on);
}

void SvmCpu::initialise(Vmcb* vmcb, void* host_save, SharedState const* shared)
{
    vmcb_ = vmcb;
    host_save_ = host_save;
    shared_ = shared;
    flush_command_ = shared->flush_by_asid ? TlbControl::flush_asid : TlbControl::flush_all;
    vmcb_->intercept_misc1 = misc1::nmi | misc1::init | misc1::ioio | misc1::msr | misc1::invlpga | misc1::shutdown;
    vmcb_->intercept_misc2 =
        misc2::vmrun | misc2::vmmcall | misc2::vmload | misc2::vmsave | misc2::stgi | misc2::clgi | misc2::skinit;
    vmcb_->intercept_exceptions = exceptions_of_guest;
    vmcb_->iopm_base = reinterpret_cast<std::uint64_t>(shared->iopm);
    vmcb_->msrpm_base = reinterpret_cast<std::uint64_t>(shared->msrpm);
    vmcb_->asid = 1;
    vmcb_->tlb_control = static_cast<std::uint8_t>(TlbControl::flush_all);
    vmcb_->nested_control = nested_paging_enable;
    vmcb_->nested_cr3 = shared->nested_root;
}

boot::StartResult SvmCpu::capture(core::CapturedState const& captured)
{
    core::Selectors const now = core::current_selectors();
    auto const [es, cs, ss, ds] = std::array{now.segments[0], now.segments[1], now.segments[2], now.segments[3]};
    vmcb_->es = read_segment(es, now.gdt);
    vmcb_->cs = read_segment(cs, now.gdt);
    vmcb_->ss = read_segment(ss, now.gdt);
    vmcb_->ds = read_segment(ds, now.gdt);
    vmcb_->gdtr = {0, 0, now.gdt.limit, now.gdt.base};
    vmcb_->idtr = {0, 0, now.idt.limit, now.idt.base};
    vmcb_->cpl = 0;
    asm volatile("mov %%cr0, %0" : "=r"(vmcb_->cr0));
    asm volatile("mov %%cr2, %0" : "=r"(vmcb_->cr2));
    asm volatile("mov %%cr3, %0" : "=r"(vmcb_->cr3));
    asm volatile("mov %%cr4, %0" : "=r"(vmcb_->cr4));
    asm volatile("mov %%dr6, %0" : "=r"(vmcb_->dr6));
    asm volatile("mov %%dr7, %0" : "=r"(vmcb_->dr7));
    vmcb_->pat = core::read_msr(core::msr::pat);
    // An INIT that reaches this CPU becomes an exception in the sensor instead of a reset out of it (APM 15.30.1).
    core::write_msr(msr::vm_cr, core::read_msr(msr::vm_cr) | vm_cr_redirect_init);
    std::uint64_t const efer = core::read_msr(core::msr::efer) | efer_svme;
    vmcb_->efer = efer;
    vmcb_->rip = captured.rip;
    vmcb_->rflags = captured.rflags;
    registers_ = backend::registers_of(captured);
    core::write_msr(core::msr::efer, efer);
    core::write_msr(msr::vm_hsave_pa, reinterpret_cast<std::uint64_t>(host_save_));
    return boot::StartResult::ok;
}

/// QEMU calls external interrupts exceptions when their delivery was interrupted, refuses to inject them so, and may
/// deliver twice what is injected as an interrupt. As a virtual interrupt it comes next; IF is set, or it would not
/// have been delivered. QEMU forgets a virtual interrupt when it takes a physical one: these are masked (the sensor's
/// IF is 0) until the exit at the end of its handler.
void SvmCpu::deliver_virtual(std::uint8_t vector)
{
    constexpr unsigned vector_shift = 32;
    vmcb_->virtual_interrupt = (vmcb_->virtual_interrupt & 0xFFFF'FFFF) | v_irq | v_ignore_tpr | v_mask_physical |
                               static_cast<std::uint64_t>(vector) << vector_shift;
    vmcb_->intercept_misc1 = (vmcb_->intercept_misc1 & ~misc1::virtual_interrupt) | misc1::iret;
}

/// After an exit: what exit_when_interruptible() asked for has come, or an interrupt of deliver_virtual() has gone.
void SvmCpu::note_virtual_interrupt()
{
    bool const asked = (vmcb_->intercept_misc1 & misc1::virtual_interrupt) != 0;
    if (vmcb_->exit_code == exit_code::virtual_interrupt || vmcb_->exit_code == exit_code::iret) {
        if (asked)
            vmcb_->virtual_interrupt &= ~v_irq;
        vmcb_->intercept_misc1 &= ~(misc1::virtual_interrupt | misc1::iret);
    }
    if ((vmcb_->virtual_interrupt & v_irq) == 0)
        vmcb_->virtual_interrupt &= ~v_mask_physical;
}

/// An event whose delivery the exit interrupted is delivered again (APM 15.7.2). The
/// software interrupts' return addresses need no correction: the instruction is retried
/// only for events that are not re-executed by themselves.
void SvmCpu::keep_interrupted_event()
{
    std::uint64_t const info = vmcb_->exit_interrupt_info;
    constexpr std::uint64_t type_software = 4ULL << 8;
    if ((info & interrupt_info_valid) == 0 || vmcb_->event_injection != 0)
        return;
    if (!stepping_ && vmcb_->exit_code == exit_code::exception_base + protection_fault)
        return; // the fault takes its place
    if ((info & interrupt_info_type) == type_software)
        return; // INT n is executed again
    auto const vector = static_cast<std::uint8_t>(info & 0xFF);
    if ((info & interrupt_info_type) == event::type_exception && (vector == 3 || vector == 4))
        return; // INT3 and INTO are executed again
    if ((info & interrupt_info_type) == event::type_exception && vector >= first_interrupt)
        return deliver_virtual(vector);
    vmcb_->event_injection = info;
}

backend::Exit SvmCpu::run()
{
    vmcb_->rax = registers_.gpr[0];
    vmcb_->rsp = registers_.gpr[4];
    enter_guest(registers_.gpr, vmcb_);
    registers_.gpr[0] = vmcb_->rax;
    registers_.gpr[4] = vmcb_->rsp;
    vmcb_->tlb_control = static_cast<std::uint8_t>(TlbControl::none);
    vmcb_->event_injection = 0;
    vmcb_->clean_bits = 0;
    note_virtual_interrupt();
    // A BIOS may leave system management mode with an EFER of its own (SeaBIOS does): VMRUN wants the bit.
    vmcb_->efer |= efer_svme;
    keep_interrupted_event();
    if (vmcb_->exit_code == exit_code::init)
        consume_nmi(); // it stays pending, and would exit for ever, until GIF lets it become #SX
    Exit const exit = classify();
    if (stepping_)
        finish_step();
    return exit;
}

/// No other guest code than the stepped instruction may run with the open view: whatever ended
/// it, the view is closed. An exception of the instruction is the guest's own.
void SvmCpu::finish_step()
{
    constexpr std::uint32_t with_error_code = 1U << 8 | 0x7C00 | 1U << 17 | 1U << 21 | 1U << 29 | 1U << 30;
    constexpr std::uint64_t vectors = 32, debug = 1, page_fault = 14, step_bit = 1ULL << 14, breakpoint_bits = 0xF;
    std::uint64_t const vector = vmcb_->exit_code - exit_code::exception_base; // huge for lower codes
    // With BTF the guest wants branches: what is stepped accesses registers, and a branch by them is nothing sane.
    bool const guest_steps = (guest_flags_ & trap_flag) != 0 && guest_btf_ == 0;
    close_view();
    if (vector == debug) {
        std::uint64_t const raised = vmcb_->dr6;
        bool const breakpoint = (raised & ~guest_dr6_ & breakpoint_bits) != 0;
        vmcb_->dr6 = guest_steps ? raised : breakpoint ? raised & ~step_bit : guest_dr6_;
        if (guest_steps || breakpoint)
            inject_exception(debug, false, 0);
    } else if (vector < vectors) {
        if (vector == page_fault)
            vmcb_->cr2 = vmcb_->exit_info2;
        inject_exception(static_cast<std::uint8_t>(vector), (with_error_code >> vector & 1) != 0,
                         static_cast<std::uint32_t>(vmcb_->exit_info1));
    }
}

backend::Exit SvmCpu::classify() const
{
    Exit exit;
    exit.raw_reason = vmcb_->exit_code;
    if ((vmcb_->exit_interrupt_info & interrupt_info_valid) != 0)
        exit.interrupted_event = vmcb_->exit_interrupt_info;
    switch (vmcb_->exit_code) {
    case exit_code::nested_fault:
        exit.kind = ExitKind::nested_fault;
        exit.during_event = (vmcb_->exit_interrupt_info & interrupt_info_valid) != 0;
        exit.gpa = Gpa{vmcb_->exit_info2};
        exit.is_write = (vmcb_->exit_info1 & 1U << 1) != 0;
        exit.is_fetch = (vmcb_->exit_info1 & 1U << 4) != 0;
        exit.is_read = !exit.is_write && !exit.is_fetch;
        exit.by_page_walk = (vmcb_->exit_info1 & 1ULL << 33) != 0;
        break;
    case exit_code::ioio: { // APM 15.10.2
        std::uint64_t const info = vmcb_->exit_info1;
        exit.kind = ExitKind::port;
        exit.port = static_cast<std::uint16_t>(info >> 16);
        exit.is_write = (info & 1) == 0;
        exit.string = (info & 1U << 2) != 0;
        exit.rep = (info & 1U << 3) != 0;
        exit.width = static_cast<std::uint8_t>(info >> 4 & 7);
        exit.next_rip = vmcb_->exit_info2;
        break;
    }
    case exit_code::msr:
        exit.kind = (vmcb_->exit_info1 & 1) != 0 ? ExitKind::msr_write : ExitKind::msr_read;
        break;
    case exit_code::hlt:
    case exit_code::mwait:
    case exit_code::mwait_conditional:
        exit.kind = ExitKind::halt;
        break;
    case exit_code::interrupt:
        exit.kind = ExitKind::interrupt;
        break;
    case exit_code::virtual_interrupt:
    case exit_code::iret:
        exit.kind = ExitKind::interruptible;
        break;
    case exit_code::nmi:
        exit.kind = ExitKind::nmi;
        break;
    case exit_code::init:
        exit.kind = ExitKind::init;
        break;
    case exit_code::vmmcall:
        exit.kind = ExitKind::hypercall;
        break;
    case exit_code::vmrun:
    case exit_code::vmload:
    case exit_code::vmsave:
    case exit_code::stgi:
    case exit_code::clgi:
    case exit_code::skinit:
    case exit_code::invlpga:
        exit.kind = ExitKind::virtualisation;
        break;
    case exit_code::invalid & 0xFFFF'FFFF: // as QEMU has it
    case exit_code::invalid:               // a guest state that cannot be entered: going on would exit for ever
    case exit_code::shutdown:
        exit.kind = ExitKind::shutdown;
        break;
    default:
        // Exceptions but #GP are intercepted during a single step only; each ends it.
        if (stepping_ && vmcb_->exit_code >= exit_code::exception_base &&
            vmcb_->exit_code < exit_code::exception_base + 32)
            exit.kind = ExitKind::debug_trap;
        else if (vmcb_->exit_code == exit_code::exception_base + protection_fault)
            exit.kind = faulted_in(double_fault) ? ExitKind::shutdown : ExitKind::protection_fault;
        break;
    }
    return exit;
}

backend::PagingState SvmCpu::paging() const
{
    constexpr unsigned attribute_long = 1U << 9, attribute_default = 1U << 10;
    return {.cr0 = vmcb_->cr0,
            .cr3 = vmcb_->cr3,
            .cr4 = vmcb_->cr4,
            .efer = vmcb_->efer,
            .rflags = vmcb_->rflags,
            .cs_long = (vmcb_->cs.attributes & attribute_long) != 0,
            .cs_default_32 = (vmcb_->cs.attributes & attribute_default) != 0,
            .cpl = vmcb_->cpl};
}

backend::SegmentState SvmCpu::segment(backend::Segment which) const
{
    auto const index = static_cast<unsigned>(which);
    VmcbSegment const* segment = nullptr;
    if (which <= backend::Segment::ds) {
        segment = &(&vmcb_->es)[index];
    } else { // live in the CPU until asked for
        save_hidden_state(vmcb_);
        segment = which == backend::Segment::fs     ? &vmcb_->fs
                  : which == backend::Segment::gs   ? &vmcb_->gs
                  : which == backend::Segment::ldtr ? &vmcb_->ldtr
                                                    : &vmcb_->tr;
    }
    return {segment->selector, segment->attributes, segment->limit, segment->base};
}

void SvmCpu::set_segment(backend::Segment which, backend::SegmentState state)
{
    VmcbSegment const value{state.selector, state.attributes, state.limit, state.base};
    if (which <= backend::Segment::ds) {
        (&vmcb_->es)[static_cast<unsigned>(which)] = value;
        if (which == backend::Segment::ss)
            vmcb_->cpl = static_cast<std::uint8_t>(state.attributes >> 5 & 3);
        return;
    }
    save_hidden_state(vmcb_);
    switch (which) {
    case backend::Segment::fs:
        vmcb_->fs = value;
        break;
    case backend::Segment::gs:
        vmcb_->gs = value;
        break;
    case backend::Segment::ldtr:
        vmcb_->ldtr = value;
        break;
    default:
        vmcb_->tr = value;
        break;
    }
    load_hidden_state(vmcb_);
}

void SvmCpu::set_system_registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4, std::uint64_t efer)
{
    vmcb_->cr0 = cr0;
    vmcb_->cr3 = cr3;
    vmcb_->cr4 = cr4;
    vmcb_->cr2 = 0;
    vmcb_->efer = efer | efer_svme;
    flush_nested();
}

void SvmCpu::set_descriptor_tables(std::uint64_t gdt_base, std::uint64_t gdt_limit, std::uint64_t idt_base,
                                   std::uint64_t idt_limit)
{
    vmcb_->gdtr = {0, 0, static_cast<std::uint32_t>(gdt_limit), gdt_base};
    vmcb_->idtr = {0, 0, static_cast<std::uint32_t>(idt_limit), idt_base};
}

void SvmCpu::set_debug_and_activity_reset()
{
    vmcb_->dr6 = 0xFFFF0FF0;
    vmcb_->dr7 = 0x400;
    vmcb_->event_injection = 0;
    vmcb_->interrupt_shadow = 0;
    clear_breakpoints();
    if (stepping_) {
        guest_flags_ = 0;
        close_view();
    }
}

void SvmCpu::set_guest_efer(std::uint64_t efer)
{
    // LMA follows CR0.PG and LME; software's write to it has no effect.
    vmcb_->efer = (efer & ~efer_lma) | (vmcb_->efer & efer_lma) | efer_svme;
    flush_nested(); // NXE changes what cached translations mean
}

void SvmCpu::intercept_halt(bool on)
{
    if (on) {
        vmcb_->intercept_misc1 |= misc1::hlt;
        vmcb_->intercept_misc2 |= misc2::mwait;
    } else {
        vmcb_->intercept_misc1 &= ~misc1::hlt;
        vmcb_->intercept_misc2 &= ~misc2::mwait;
    }
}

void SvmCpu::intercept_interrupts(bool on)
{
    if (on)
        vmcb_->intercept_misc1 |= misc1::interrupt;
    else
        vmcb_->intercept_misc1 &= ~misc1::interrupt;
}

/// A virtual interrupt that nobody delivers: its intercept says when it could be (APM 15.21.4). Physical interrupts
/// that wait are taken before. QEMU forgets the virtual one with these, so the end of their handler does as well.
bool SvmCpu::exit_when_interruptible()
{
    vmcb_->intercept_misc1 |= misc1::iret;
    if ((vmcb_->virtual_interrupt & v_mask_physical) == 0) { // else one is to be delivered
        vmcb_->virtual_interrupt |= v_irq | v_ignore_tpr;
        vmcb_->intercept_misc1 |= misc1::virtual_interrupt;
    }
    return true;
}

void SvmCpu::flush_nested()
{
    vmcb_->nested_cr3 = stepping_ ? shared_->open_root : shared_->nested_root.load(std::memory_order_acquire);
    vmcb_->tlb_control = static_cast<std::uint8_t>(flush_command_);
}

void SvmCpu::single_step(bool on)
{
    if (on == stepping_)
        return;
    if (!on)
        return close_view();
    stepping_ = true;
    // Without interrupts, so that no handler runs with the open view; likewise for exceptions and task switches.
    guest_flags_ = vmcb_->rflags & (trap_flag | interrupt_flag);
    guest_dr6_ = vmcb_->dr6;
    // One instruction, not all up to the next branch.
    std::uint64_t const debug = debug_control();
    guest_btf_ = debug & debug_control_btf;
    if (guest_btf_ != 0)
        set_debug_control(debug & ~debug_control_btf);
    vmcb_->rflags = (vmcb_->rflags & ~interrupt_flag) | trap_flag;
    vmcb_->intercept_exceptions = ~(1U << 2); // vector 2 is the NMI's own intercept
    vmcb_->intercept_misc1 |= misc1::task_switch;
    flush_nested();
}

void SvmCpu::close_view()
{
    stepping_ = false;
    if (guest_btf_ != 0)
        set_debug_control(debug_control() | guest_btf_);
    vmcb_->rflags = (vmcb_->rflags & ~(trap_flag | interrupt_flag)) | guest_flags_;
    vmcb_->intercept_exceptions = exceptions_of_guest;
    vmcb_->intercept_misc1 &= ~misc1::task_switch;
    flush_nested();
}

void SvmCpu::consume_nmi()
{
    take_pending_nmi();
}

/// The exit came while this exception was being delivered.
bool SvmCpu::faulted_in(std::uint8_t vector) const
{
    std::uint64_t const info = vmcb_->exit_interrupt_info;
    return (info & interrupt_info_valid) != 0 && (info & interrupt_info_type) == event::type_exception &&
           (info & 0xFF) == vector;
}

void SvmCpu::deliver_protection_fault()
{
    constexpr std::uint64_t resume_flag = 1ULL << 16; // faults push it set
    for (std::uint8_t vector = 0; vector < 32; ++vector)
        if ((contributory >> vector & 1) != 0 && faulted_in(vector))
            return inject_exception(double_fault, true, 0);
    vmcb_->rflags |= resume_flag;
    inject_exception(protection_fault, true, static_cast<std::uint32_t>(vmcb_->exit_info1));
}

void SvmCpu::inject_exception(std::uint8_t vector, bool has_error, std::uint32_t error)
{
    constexpr std::uint64_t protection_enable = 1;
    has_error = has_error && (vmcb_->cr0 & protection_enable) != 0; // real mode pushes none
    vmcb_->event_injection = event::valid | event::type_exception | vector |
                             (has_error ? event::error_code | std::uint64_t{error} << 32 : 0);
}

} // namespace undercroft::svm
