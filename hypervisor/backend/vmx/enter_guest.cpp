// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/vmx/hardware.hpp"

namespace undercroft::vmx {

// CR2, the syscall MSRs and KERNEL_GS_BASE stay the guest's all the time: the sensor uses none of them.
extern "C" [[gnu::naked]] bool vmx_enter_guest(std::uint64_t* /*gpr*/, bool /*launched*/)
{
    asm("push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "mov $0x6C14, %eax; vmwrite %rsp, %rax\n" // HOST_RSP
        "test %sil, %sil\n"                       // nothing below changes the flags
        "mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
        "mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
        "mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
        "mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
        "mov 56(%rdi), %rdi\n"
        "jnz 1f\n"
        "vmlaunch\n"
        "jmp 2f\n"
        "1: vmresume\n"
        "2: xor %eax, %eax\n" // not entered
        "pop %rdi\n"
        "jmp 3f\n"
        ".globl vmx_exit_arrives\n"
        "vmx_exit_arrives:\n"
        "push %rdi\n"
        "mov 8(%rsp), %rdi\n"
        "mov %rax, (%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
        "mov %rbp, 40(%rdi); mov %rsi, 48(%rdi)\n"
        "pop %rcx\n"
        "mov %rcx, 56(%rdi)\n"
        "mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
        "mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
        "pop %rdi\n"
        "mov $1, %eax\n"
        "3: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");
}

} // namespace undercroft::vmx
