// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/svm/hardware.hpp"

#include "hypervisor/core/x86.hpp"

namespace undercroft::svm {

// Enters the guest with its general registers (RAX and RSP travel in the VMCB) and leaves
// them in `registers` at the exit. FS, GS, TR, LDTR and the syscall MSRs stay the guest's
// all the time: the sensor uses none of them, so no VMLOAD or VMSAVE is paid per exit.
[[gnu::naked]] void enter_guest(std::uint64_t* /*gpr*/, Vmcb* /*vmcb*/)
{
    asm("push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "mov %rsi, %rax\n"
        "mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
        "mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
        "mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
        "mov 56(%rdi), %rdi\n"
        "vmrun %rax\n"
        "push %rdi\n"
        "mov 8(%rsp), %rdi\n"
        "mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi); mov %rbp, 40(%rdi); mov %rsi, 48(%rdi)\n"
        "pop %rcx\n"
        "mov %rcx, 56(%rdi)\n"
        "mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
        "mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
        "cld\n"
        "pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");
}

void save_hidden_state(Vmcb* vmcb)
{
    asm volatile("vmsave %%rax" : : "a"(vmcb) : "memory");
}

void load_hidden_state(Vmcb* vmcb)
{
    asm volatile("vmload %%rax" : : "a"(vmcb) : "memory");
}

void take_pending_nmi()
{
    // With GIF set the pending NMI is taken through the sensor's own IDT, whose handler only returns.
    asm volatile("stgi; nop; clgi" : : : "memory");
}

void clear_breakpoints()
{
    std::uint64_t const zero = 0;
    asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(zero));
}

std::uint64_t debug_control()
{
    return core::read_msr(msr::debug_control);
}

void set_debug_control(std::uint64_t value)
{
    core::write_msr(msr::debug_control, value);
}

} // namespace undercroft::svm
