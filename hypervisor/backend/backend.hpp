// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The vendor contract. SVM, VMX and the fake of the host tests each provide one type
// that satisfies VirtualCpu; everything above (core/exit_loop.hpp) is written once.
#include <concepts>
#include <cstdint>
#include <span>

#include "base/units.hpp"

namespace undercroft::backend {

enum class ExitKind : std::uint8_t {
    nested_fault, ///< gpa, is_read, is_write, is_fetch, by_page_walk, during_event valid
    port,         ///< port, width, is_write, string, rep valid
    msr_read,
    msr_write,
    halt,
    interrupt, ///< a physical interrupt is pending (interrupt exiting was armed)
    nmi,       ///< a physical NMI is pending
    init,
    sipi,             ///< by hardware (VMX, real SVM with INIT redirection)
    hypercall,        ///< VMMCALL / VMCALL
    virtualisation,   ///< another virtualisation instruction: #UD
    protection_fault, ///< #GP of the guest, where virtualisation instructions raise it instead of exiting (SVM, CPL >
                      ///< 0)
    debug_trap,       ///< #DB while a single step is in progress
    shutdown,         ///< triple fault
    timer,            ///< what arm_timer() asked for
    interruptible,    ///< what exit_when_interruptible() asked for
    cpuid,            ///< the backend has answered it
    handled,          ///< so it has this: XSETBV, control registers, windows
    unknown,
};

struct Exit {
    ExitKind kind = ExitKind::unknown;
    std::uint64_t raw_reason = 0;        ///< vendor's exit code, for the log
    std::uint64_t interrupted_event = 0; ///< what was being delivered, as the vendor writes it, for the log; 0: nothing
    Gpa gpa{};
    std::uint16_t port = 0;
    std::uint8_t width = 0;
    bool is_read = false, is_write = false, is_fetch = false, string = false, rep = false;
    bool entered = true;        ///< false: something that came before the entry, which did not take place
    bool by_page_walk = false;  ///< nested_fault: the CPU was reading or marking the guest's own page tables
    bool during_event = false;  ///< nested_fault: it came while an event was delivered, which run() delivers again
    std::uint64_t next_rip = 0; ///< behind the instruction that exited; 0: not known (I/O: always known)
};

/// General registers in the order of x86 encoding (RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 ... R15).
struct Registers {
    std::uint64_t gpr[16];
};

enum class Segment : std::uint8_t { es, cs, ss, ds, fs, gs, ldtr, tr };
struct SegmentState {
    std::uint16_t selector;
    std::uint16_t attributes; ///< as in the VMCB: bits 0-7 = descriptor bits 40-47, 8-11 = bits 52-55
    std::uint32_t limit;
    std::uint64_t base;
};

/// What decides how guest-virtual addresses and instructions are read.
struct PagingState {
    std::uint64_t cr0, cr3, cr4, efer, rflags;
    bool cs_long, cs_default_32; ///< CS.L, CS.D
    std::uint8_t cpl;
};

template <typename C>
concept VirtualCpu = requires(C cpu, C const& ccpu, Exit exit, std::uint64_t v, bool on, Segment seg, SegmentState st) {
    { cpu.run() } -> std::same_as<Exit>;             // enter the guest until the next exit
    { cpu.registers() } -> std::same_as<Registers&>; // valid between run()s, RSP included
    { ccpu.rip() } -> std::same_as<std::uint64_t>;
    { cpu.set_rip(v) }; // also ends an interrupt shadow
    { ccpu.paging() } -> std::same_as<PagingState>;
    { ccpu.segment(seg) } -> std::same_as<SegmentState>;
    { cpu.set_segment(seg, st) };
    { cpu.set_rflags(v) };
    { ccpu.rflags() } -> std::same_as<std::uint64_t>;
    { ccpu.breakpoints_armed() } -> std::same_as<bool>; // by DR7: any of L0-L3, G0-G3
    { ccpu.event_pending() } -> std::same_as<bool>;     // something is to be injected at the next run()
    { cpu.set_system_registers(v, v, v, v) };           // CR0, CR3, CR4, EFER as the guest shall see them
    { cpu.set_descriptor_tables(v, v, v, v) };          // GDT base, limit, IDT base, limit
    { cpu.set_debug_and_activity_reset() };             // DR6, DR7, pending events, shadow cleared
    { ccpu.guest_efer() } -> std::same_as<std::uint64_t>;
    { cpu.set_guest_efer(v) };
    { cpu.inject_undefined() };          // #UD
    { cpu.inject_general_protection() }; // #GP(0)
    { cpu.deliver_protection_fault() };  // the exit's own, as if it had not exited
    { cpu.inject_stack_fault() };        // #SS(0)
    { cpu.inject_page_fault(v, v) };     // CR2, error code
    { cpu.intercept_halt(on) };
    { cpu.intercept_interrupts(on) };
    // Exit once when the guest can take an interrupt, after those that wait already; false: cannot be asked for.
    { cpu.exit_when_interruptible() } -> std::same_as<bool>;
    { cpu.arm_timer(v) } -> std::same_as<bool>; // exit after that many TSC ticks (0: never); false: there is no timer
    { cpu.single_step(on) };                    // #DB after one instruction, guest's TF kept apart
    // Drop this CPU's cached nested translations; it runs on the view chosen last (Vendor::choose_view) from then on.
    { cpu.flush_nested() };
    { cpu.consume_nmi() }; // take the pending NMI in the sensor
    { cpu.inject_nmi() };
};

} // namespace undercroft::backend
