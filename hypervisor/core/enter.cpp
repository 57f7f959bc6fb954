// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// How a CPU gets under the sensor: the loader calls core_enter(), the CPU's state becomes
// the guest's, and the call returns to the loader as a guest.
#include "hypervisor/core/enter.hpp"

namespace undercroft::core {

// Stack while core_adopt_cpu runs: callee-saved registers, RFLAGS, CapturedState{rip, rsp, rflags}.
[[gnu::naked]] std::uint32_t core_enter(std::uint32_t /*cpu_index*/)
{
    asm("push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "pushfq\n"
        "cli\n"
        "lea 1f(%rip), %rax\n"
        "mov %rsp, %rcx\n"
        "pushq $2\n"     // RFLAGS of the new guest: interrupts off until it pops its own
        "push %rcx\n"
        "push %rax\n"
        "mov %rsp, %rsi\n"
        "sub $40, %rsp\n" // result of core_adopt_cpu, and 16-byte alignment
        "mov %rsp, %rdx\n"
        "call core_adopt_cpu\n"
        "test %rax, %rax\n"
        "jz 2f\n"
        "mov %rax, %rdi\n"
        "mov (%rax), %rsp\n" // PerCpu::stack_top is its first member
        "xor %ebp, %ebp\n"
        "call core_run_cpu\n" // never returns
        "ud2\n"
        "1: xor %eax, %eax\n" // as a guest, RSP at the saved RFLAGS
        "jmp 3f\n"
        "2: mov (%rsp), %eax\n"
        "add $64, %rsp\n"
        "3: popfq\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");
}

} // namespace undercroft::core
