// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// How a CPU gets under the sensor: the loader calls core_enter(), the CPU's state becomes
// the guest's, and the call returns to the loader as a guest.
#include "hypervisor/core/enter.hpp"

namespace undercroft::core {

// Builds a CapturedState on the stack, from its last member to its first.
[[gnu::naked]] std::uint32_t core_enter(std::uint32_t /*cpu_index*/)
{
    asm("mov (%rsp), %rax\n"  // where the caller goes on
        "lea 8(%rsp), %rcx\n" // and with which stack pointer
        "pushfq; pop %rdx\n"
        "cli\n"
        "push %r15; push %r14; push %r13; push %r12; push %rbp; push %rbx\n"
        "push %rdx; push %rcx; push %rax\n"
        "mov %rsp, %rsi\n"
        "push $0; mov %rsp, %rdx; sub $8, %rsp\n" // result; 1 + 9 + 2 words: aligned for the call
        "call core_adopt_cpu\n"
        "test %rax, %rax\n"
        "jz 1f\n"
        "mov %rax, %rdi\n"
        "mov (%rax), %rsp\n" // PerCpu::stack_top is its first member
        "xor %ebp, %ebp\n"
        "call core_run_cpu\n" // never returns: the caller goes on as a guest
        "ud2\n"
        "1: add $8, %rsp\n" // refused: undo everything
        "pop %rax\n"
        "mov 16(%rsp), %rdx\n"
        "push %rdx; popfq\n"
        "add $24, %rsp\n"
        "pop %rbx; pop %rbp; pop %r12; pop %r13; pop %r14; pop %r15\n"
        "ret\n");
}

} // namespace undercroft::core
