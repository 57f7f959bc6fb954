// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The block in conventional memory: where other CPUs start, the way to real mode and back, and the INT 15h handler that
// stays behind. It is copied to a page boundary below 640 KiB; in real mode CS is that page's segment, so all 16-bit
// addresses count from low_start. low.cpp fills in what depends on the place.
#define AT(symbol) (symbol - low_start)
#define FIELD(name, size) .balign 4; .globl name; name: .skip size

.set code_64, 0x08
.set flat_data, 0x10
.set code_32, 0x18
.set code_16, 0x20
.set data_16, 0x28
.set efer, 0xC0000080
.set boot_sector, 0x7C00

.section .low, "aw", @progbits
.globl low_start
low_start:

// ---- start-up IPI: another CPU, in real mode, CS:IP = block:0
.code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movl AT(low_ap_entry), %ebx

// To EBX in long mode, EBP = the block's address. Real mode, DS = CS = the block.
to_long_mode:
    xorl %ebp, %ebp
    movw %cs, %bp
    shll $4, %ebp
    lgdtl AT(low_gdt_pointer)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl *AT(low_far_32)

.code32
.globl low_enter_32
low_enter_32:
    movl $flat_data, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %cr4, %eax
    orl $0x20, %eax             // PAE
    movl %eax, %cr4
    movl AT(low_page_tables)(%ebp), %eax
    movl %eax, %cr3
    movl $efer, %ecx
    rdmsr
    orl $0x100, %eax            // LME
    wrmsr
    movl %cr0, %eax
    andl $0x9FFFFFFF, %eax      // CD and NW are set after INIT
    orl $0x80000000, %eax
    movl %eax, %cr0
    ljmpl *AT(low_far_64)(%ebp)

.code64
.globl low_enter_64
low_enter_64:
    movl %ebx, %ebx             // upper halves are undefined after the switch
    movl %ebp, %ebp
    jmpq *%rbx

// ---- void low_real(block): long mode to real mode at low_real_target, and back if that comes back
.globl low_real
low_real:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, AT(saved_stack)(%rdi)
    movl %edi, %ebp
    lgdt AT(low_gdt_pointer)(%rdi)
    leaq AT(leave_32)(%rdi), %rax
    pushq $code_32
    pushq %rax
    lretq

.code32
leave_32:
    movl $flat_data, %eax
    movl %eax, %ds
    movl %eax, %ss
    movl %cr0, %eax
    andl $0x7FFFFFFF, %eax
    movl %eax, %cr0
    movl $efer, %ecx
    rdmsr
    andl $0xFFFFFEFF, %eax      // LME
    wrmsr
    movl %cr4, %eax
    andl $0xFFFFFFDF, %eax      // PAE
    movl %eax, %cr4
    lidtl AT(real_mode_vectors)(%ebp)
    movl $data_16, %eax         // limits of real mode
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    ljmpl *%cs:AT(low_far_16)(%ebp) // the others end at 64 KiB now

.code16
.globl low_leave_16
low_leave_16:
    movl %cr0, %eax
    andb $0xFE, %al
    movl %eax, %cr0
    ljmpl *%cs:AT(low_far_real)

.globl low_enter_real
low_enter_real:
    xorl %eax, %eax
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movl $boot_sector, %esp     // memory below it is free once GRUB is gone
    movw %cs, %ax
    movw %ax, %ds
    jmpw *AT(low_real_target)

// Calls the handler low_vector with low_registers.
.globl low_call
low_call:
    movl AT(low_eax), %eax
    movl AT(low_ebx), %ebx
    movl AT(low_ecx), %ecx
    movl AT(low_edx), %edx
    movl AT(low_esi), %esi
    movl AT(low_edi), %edi
    movw AT(low_es), %es
    movw AT(low_ds), %ds
    sti
    pushfw
    cli
    lcallw *%cs:AT(low_vector)
    pushfw
    cli
    cld
    pushw %ds
    pushw %cs
    popw %ds
    popw AT(low_ds)
    popw AT(low_flags)
    movw %es, AT(low_es)
    movl %eax, AT(low_eax)
    movl %ebx, AT(low_ebx)
    movl %ecx, AT(low_ecx)
    movl %edx, AT(low_edx)
    movl %esi, AT(low_esi)
    movl %edi, AT(low_edi)
    xorl %ebx, %ebx
    movw %cs, %bx
    shll $4, %ebx
    addl $AT(back_in_long_mode), %ebx
    jmp to_long_mode

.code64
back_in_long_mode:
    movq AT(saved_stack)(%rbp), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    retq

// Goes to the boot sector as the BIOS does: DL = the drive.
.code16
.globl low_boot
low_boot:
    movl AT(low_edx), %edx
    xorl %eax, %eax
    movw %ax, %ds
    movl %eax, %ebx
    movl %eax, %ecx
    movl %eax, %esi
    movl %eax, %edi
    movl %eax, %ebp
    sti
    ljmpw $0, $boot_sector

// ---- INT 15h: the memory map without what is the sensor's; everything else is the BIOS's. Stays when the loader is gone.
.globl low_int15
low_int15:
    cmpw $0xE820, %ax
    je memory_map
    cmpw $0xE801, %ax
    je memory_sizes
    cmpb $0x88, %ah
    je extended_memory
old_handler:
    ljmpw *%cs:AT(low_old_int15)

memory_map:
    cmpl $0x534D4150, %edx      // "SMAP"
    jne refuse
    cmpl $20, %ecx
    jb refuse
    cmpl %cs:AT(low_map_count), %ebx
    jae refuse
    pushw %ds
    pushw %si
    pushw %di
    pushw %cs
    popw %ds
    imulw $28, %bx, %si
    addw $AT(low_map), %si
    movl $20, %eax
    cmpl $24, %ecx
    jb 1f
    movl 24(%si), %eax          // 20 or 24, as the BIOS gave it
1:  movl %eax, %ecx
    cld
    rep movsb
    movl %eax, %ecx
    popw %di
    popw %si
    popw %ds
    incl %ebx
    cmpl %cs:AT(low_map_count), %ebx
    jb 2f
    xorl %ebx, %ebx             // that was the last one
2:  movl $0x534D4150, %eax
    jmp succeed

memory_sizes:
    cmpb $0, %cs:AT(low_has_sizes)
    je old_handler
    movw %cs:AT(low_kib_to_16m), %ax
    movw %cs:AT(low_64k_from_16m), %bx
    movw %ax, %cx
    movw %bx, %dx
    jmp succeed

extended_memory:
    cmpb $0, %cs:AT(low_has_extended)
    je old_handler
    movw %cs:AT(low_extended_kib), %ax

succeed:
    pushw %bp
    movw %sp, %bp
    andw $0xFFFE, 6(%bp)        // the caller's carry flag
    popw %bp
    iretw
refuse:
    movb $0x86, %ah
    pushw %bp
    movw %sp, %bp
    orw $1, 6(%bp)
    popw %bp
    iretw

// ---- data
.balign 8
.globl low_gdt
low_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF    // code_64
    .quad 0x00CF93000000FFFF    // flat_data
    .quad 0x00CF9B000000FFFF    // code_32
    .quad 0x00009B000000FFFF    // code_16, base = the block
    .quad 0x000093000000FFFF    // data_16
gdt_end:
.globl low_gdt_pointer
low_gdt_pointer:
    .word gdt_end - low_gdt - 1
    .quad 0
real_mode_vectors:
    .word 0x3FF
    .long 0
FIELD(low_far_32, 6)
FIELD(low_far_64, 6)
FIELD(low_far_16, 6)
FIELD(low_far_real, 6)
FIELD(low_ap_entry, 4)
FIELD(low_page_tables, 4)
FIELD(low_real_target, 2)
FIELD(low_vector, 4)
FIELD(low_old_int15, 4)
FIELD(low_eax, 4)
FIELD(low_ebx, 4)
FIELD(low_ecx, 4)
FIELD(low_edx, 4)
FIELD(low_esi, 4)
FIELD(low_edi, 4)
FIELD(low_ds, 2)
FIELD(low_es, 2)
FIELD(low_flags, 2)
.balign 8
saved_stack:
    .quad 0
FIELD(low_buffer, 64)
FIELD(low_has_sizes, 1)
FIELD(low_has_extended, 1)
FIELD(low_kib_to_16m, 2)
FIELD(low_64k_from_16m, 2)
FIELD(low_extended_kib, 2)
FIELD(low_map_count, 4)
FIELD(low_map, 256 * 28)
.globl low_end
low_end:
