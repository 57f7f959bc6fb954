// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Every instruction form that emulate() knows, in assembler, so that the processor itself
// can say what it does. %rdi addresses the memory operand.
#include "hypervisor/decode/tests/native_forms.hpp"

asm(R"(
    .section .data.rel.ro.undercroft_forms, "aw"
    .globl undercroft_native_forms
    undercroft_native_forms:
    .bss
    .globl undercroft_native_state
    .p2align 4
    undercroft_native_state: .zero 136
    host_rsp: .zero 8
    .text

    .macro SWAP_IN
        pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15; pushfq
        movq %rsp, host_rsp(%rip)
        movq undercroft_native_state+32(%rip), %rsp
        pushq undercroft_native_state+128(%rip)
        popfq
        movq undercroft_native_state+0(%rip), %rax
        movq undercroft_native_state+8(%rip), %rcx
        movq undercroft_native_state+16(%rip), %rdx
        movq undercroft_native_state+24(%rip), %rbx
        movq undercroft_native_state+40(%rip), %rbp
        movq undercroft_native_state+48(%rip), %rsi
        movq undercroft_native_state+56(%rip), %rdi
        movq undercroft_native_state+64(%rip), %r8
        movq undercroft_native_state+72(%rip), %r9
        movq undercroft_native_state+80(%rip), %r10
        movq undercroft_native_state+88(%rip), %r11
        movq undercroft_native_state+96(%rip), %r12
        movq undercroft_native_state+104(%rip), %r13
        movq undercroft_native_state+112(%rip), %r14
        movq undercroft_native_state+120(%rip), %r15
    .endm
    .macro SWAP_OUT
        movq %rax, undercroft_native_state+0(%rip)
        movq %rcx, undercroft_native_state+8(%rip)
        movq %rdx, undercroft_native_state+16(%rip)
        movq %rbx, undercroft_native_state+24(%rip)
        movq %rsp, undercroft_native_state+32(%rip)
        movq %rbp, undercroft_native_state+40(%rip)
        movq %rsi, undercroft_native_state+48(%rip)
        movq %rdi, undercroft_native_state+56(%rip)
        movq %r8, undercroft_native_state+64(%rip)
        movq %r9, undercroft_native_state+72(%rip)
        movq %r10, undercroft_native_state+80(%rip)
        movq %r11, undercroft_native_state+88(%rip)
        movq %r12, undercroft_native_state+96(%rip)
        movq %r13, undercroft_native_state+104(%rip)
        movq %r14, undercroft_native_state+112(%rip)
        movq %r15, undercroft_native_state+120(%rip)
        pushfq
        popq undercroft_native_state+128(%rip)
        movq host_rsp(%rip), %rsp
        popfq; popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx
        ret
    .endm
    .macro FORM instruction:vararg
        .text
        .p2align 4
    771:
        SWAP_IN
    772:
        \instruction
    773:
        SWAP_OUT
        .section .rodata.undercroft_text, "a"
    774: .asciz "\instruction"
        .section .data.rel.ro.undercroft_forms, "aw"
        .quad 771b, 772b, 773b - 772b, 774b
        .text
    .endm
    .macro BOTH_WAYS op
        FORM \op\()b %cl, (%rdi)
        FORM \op\()b %bh, (%rdi)
        FORM \op\()b %sil, (%rdi)
        FORM \op\()w %dx, (%rdi)
        FORM \op\()l %r9d, (%rdi)
        FORM \op\()q %rbp, (%rdi)
        FORM \op\()b (%rdi), %dl
        FORM \op\()w (%rdi), %r13w
        FORM \op\()l (%rdi), %eax
        FORM \op\()q (%rdi), %r15
        FORM \op\()b $0x81, (%rdi)
        FORM \op\()w $0x7531, (%rdi)
        FORM \op\()w $-3, (%rdi)
        FORM \op\()l $0x89ABCDEF, (%rdi)
        FORM \op\()l $-1, (%rdi)
        FORM \op\()q $-2000000000, (%rdi)
        FORM \op\()q $5, (%rdi)
    .endm
    .macro MEMORY_ONLY op
        FORM \op\()b (%rdi)
        FORM \op\()w (%rdi)
        FORM \op\()l (%rdi)
        FORM \op\()q (%rdi)
    .endm
    .macro MEMORY_REGISTER op
        FORM \op\()b %al, (%rdi)
        FORM \op\()b %dh, (%rdi)
        FORM \op\()b %r8b, (%rdi)
        FORM \op\()w %cx, (%rdi)
        FORM \op\()l %ebx, (%rdi)
        FORM \op\()q %r10, (%rdi)
        FORM \op\()l %r11d, (%rdi)
    .endm
    .macro BIT op
        FORM \op\()w %cx, (%rdi)
        FORM \op\()l %edx, (%rdi)
        FORM \op\()q %r8, (%rdi)
        FORM \op\()w $13, (%rdi)
        FORM \op\()l $31, (%rdi)
        FORM \op\()q $63, (%rdi)
        FORM \op\()l $77, (%rdi)
    .endm

    BOTH_WAYS mov
    BOTH_WAYS add
    BOTH_WAYS or
    BOTH_WAYS adc
    BOTH_WAYS sbb
    BOTH_WAYS and
    BOTH_WAYS sub
    BOTH_WAYS xor
    BOTH_WAYS cmp
    FORM testb %ch, (%rdi)
    FORM testw %cx, (%rdi)
    FORM testl %ecx, (%rdi)
    FORM testq %r9, (%rdi)
    FORM testb $0x80, (%rdi)
    FORM testw $0x8001, (%rdi)
    FORM testl $0x80000000, (%rdi)
    FORM testq $-2, (%rdi)
    MEMORY_ONLY inc
    MEMORY_ONLY dec
    MEMORY_ONLY not
    MEMORY_ONLY neg
    MEMORY_REGISTER xchg
    MEMORY_REGISTER xadd
    MEMORY_REGISTER cmpxchg
    FORM lock addl %eax, (%rdi)
    FORM lock cmpxchgl %ecx, (%rdi)
    FORM lock orb $0x40, (%rdi)
    BIT bt
    BIT bts
    BIT btr
    BIT btc
    FORM movb (%rdi), %ah
    FORM movb (%rdi), %bpl
    FORM movb %spl, (%rdi)
    FORM movb %ah, (%rdi)
    FORM movw (%rdi), %bp
    FORM movl (%rdi), %ecx
    FORM movl (%rdi,%r12,4), %ecx
    FORM movl 8(%rdi), %ecx
    FORM movntil %ecx, (%rdi)
    FORM movntiq %rcx, (%rdi)
    FORM movzbw (%rdi), %dx
    FORM movzbl (%rdi), %edx
    FORM movzbq (%rdi), %rdx
    FORM movzwl (%rdi), %r8d
    FORM movzwq (%rdi), %r8
    FORM movsbw (%rdi), %dx
    FORM movsbl (%rdi), %edx
    FORM movsbq (%rdi), %rdx
    FORM movswl (%rdi), %r8d
    FORM movswq (%rdi), %r8
    FORM movslq (%rdi), %r11
    FORM .byte 0x63, 0x07
    FORM .byte 0x66, 0x63, 0x07
    FORM stosb
    FORM stosw
    FORM stosl
    FORM stosq
    FORM rep stosb
    FORM rep stosl
    FORM rep stosq
    FORM lodsb
    FORM lodsw
    FORM lodsl
    FORM lodsq
    FORM rep lodsl
    FORM movsb
    FORM movsw
    FORM movsl
    FORM movsq
    FORM rep movsb
    FORM rep movsw
    FORM rep movsl
    FORM rep movsq

    .section .data.rel.ro.undercroft_forms, "aw"
    .globl undercroft_native_forms_end
    undercroft_native_forms_end:
    .text
)");
