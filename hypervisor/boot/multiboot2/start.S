// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Where GRUB comes in: 32-bit protected mode, EAX = magic, EBX = the information structure (Multiboot2 2.0, 3.1, 3.3).
.set mapped_gib, 64

.section .multiboot, "a"
.balign 8
header:
    .long 0xE85250D6
    .long 0                     // i386
    .long header_end - header
    .long -(0xE85250D6 + 0 + (header_end - header))
    .word 6, 0                  // modules on page boundaries
    .long 8
    .word 0, 0
    .long 8
header_end:

.section .text.start, "ax"
.code32
.globl start
start:
    cli
    cld
    movl $stack_end, %esp
    movl %eax, %edi
    movl %ebx, %esi
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb no_long_mode
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc no_long_mode

    // Everything below mapped_gib, by pages of 2 MiB.
    movl $page_directories, %ebx
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl $0x83, %eax
    movl %eax, (%ebx, %ecx, 8)
    movl %ecx, %eax
    shrl $11, %eax
    movl %eax, 4(%ebx, %ecx, 8)
    incl %ecx
    cmpl $(mapped_gib * 512), %ecx
    jb 1b
    orl $3, %ebx
    xorl %ecx, %ecx
2:  movl %ebx, directory_pointers(, %ecx, 8)
    addl $4096, %ebx
    incl %ecx
    cmpl $mapped_gib, %ecx
    jb 2b
    movl $directory_pointers + 3, page_tables

    movl $page_tables, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax             // PAE
    movl %eax, %cr4
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x100, %eax            // LME
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    lgdtl gdt_pointer
    ljmpl $8, $start_64

no_long_mode:
    movl $no_long_mode_text, %esi
    movl $0xB8000, %edi
    movb $0x07, %ah
3:  lodsb
    stosw
    testb %al, %al
    jnz 3b
4:  hlt
    jmp 4b

.code64
start_64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $stack_end, %esp
    movl %edi, %edi             // upper halves are undefined after the switch
    movl %esi, %esi
    xorl %ebp, %ebp
    callq loader_main
    ud2

// Other CPUs come here, one after the other, through the block in conventional memory.
.globl ap_start
ap_start:
    movl ap_number, %edi
    cmpl $ap_limit, %edi
    jae 5f
    movl %edi, %eax
    shll $13, %eax              // ap_stack_bytes
    leal ap_stacks(%eax), %esp  // the end of the one before: number 0 is the boot CPU
    xorl %ebp, %ebp
    callq ap_main
5:  hlt
    jmp 5b

.set ap_limit, 256
.section .rodata.start, "a"
no_long_mode_text:
    .asciz "undercroft: error: this CPU has no 64-bit mode. Restart the machine and choose another entry."
.balign 8
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF
    .quad 0x00CF93000000FFFF
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

.section .bss.start, "aw", @nobits
.balign 4096
.globl page_tables
page_tables:
    .skip 4096
directory_pointers:
    .skip 4096
page_directories:
    .skip 4096 * mapped_gib
stack:
    .skip 65536
stack_end:
ap_stacks:
    .skip 8192 * ap_limit
.globl ap_number
ap_number:
    .skip 4
