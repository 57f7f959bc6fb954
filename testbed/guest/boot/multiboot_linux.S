// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Starts an uncompressed Linux kernel: what the kernel's own decompressor does before and
// after decompressing, without the decompressing, which takes minutes in an emulator.
// GRUB (Multiboot 1) loads this file and the kernel's segments, which testbed/linux_image.py
// has put behind it, to where they belong; the first module is the initial RAM file system.
// Boot protocol: Linux, Documentation/x86/boot.rst ("64-bit boot protocol") and zero-page.rst.
        .set    MULTIBOOT_MAGIC, 0x1BADB002
        .set    MULTIBOOT_FLAGS, 3              // modules on page boundaries; memory map
        .set    LOADED_BY_MULTIBOOT, 0x2BADB002
        .set    KERNEL_ENTRY, 0x1000000         // ELF entry of vmlinux, checked when the image is made

        .section .multiboot, "a"
        .balign 4
        .long   MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .text
        .code32
        .globl  start
start:  cli
        cld
        cmp     $LOADED_BY_MULTIBOOT, %eax
        jne     hang
        mov     $stack_end, %esp
        testl   $1 << 6, (%ebx)                 // no memory map: nothing to tell the kernel
        jz      hang
        mov     44(%ebx), %edx                  // memory map: bytes, address
        mov     48(%ebx), %esi
        add     %esi, %edx
        mov     $zero_page + 0x2D0, %edi        // e820_table
        xor     %ebp, %ebp
1:      cmp     %edx, %esi
        jae     2f
        cmp     $128, %ebp
        jae     2f
        mov     (%esi), %eax                    // size of this entry, itself not counted
        push    %esi
        add     $4, %esi
        mov     $5, %ecx                        // address, length, type: the kernel's layout too
        rep movsl
        pop     %esi
        lea     4(%esi, %eax), %esi
        inc     %ebp
        jmp     1b
2:      mov     %ebp, %eax
        mov     %al, zero_page + 0x1E8          // e820_entries
        mov     $setup_header, %esi
        mov     $zero_page + 0x1F1, %edi
        mov     $setup_header_end - setup_header, %ecx
        rep movsb
        movb    $0xFF, zero_page + 0x210        // type_of_loader: unknown
        orb     $1, zero_page + 0x211           // loadflags: LOADED_HIGH
        movl    $command_line, zero_page + 0x228
        testl   $1 << 3, (%ebx)
        jz      3f
        cmpl    $0, 20(%ebx)                    // modules
        je      3f
        mov     24(%ebx), %esi
        mov     (%esi), %eax
        mov     4(%esi), %ecx
        sub     %eax, %ecx
        mov     %eax, zero_page + 0x218         // ramdisk_image, ramdisk_size
        mov     %ecx, zero_page + 0x21C
3:      // Identity map of the first 4 GiB with 2 MiB pages, then 64-bit mode.
        movl    $pdpt + 3, pml4
        mov     $page_directories + 3, %eax
        mov     $pdpt, %edi
        mov     $4, %ecx
4:      mov     %eax, (%edi)
        add     $0x1000, %eax
        add     $8, %edi
        loop    4b
        mov     $0x83, %eax
        mov     $page_directories, %edi
        mov     $2048, %ecx
5:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    5b
        mov     %cr4, %eax
        or      $1 << 5, %eax                   // PAE
        mov     %eax, %cr4
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $0xC0000080, %ecx
        rdmsr
        or      $1 << 8, %eax                   // EFER.LME
        wrmsr
        mov     %cr0, %eax
        or      $1 << 31 | 1, %eax
        mov     %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $0x10, $6f
        .code64
6:      mov     $0x18, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $zero_page, %esi
        mov     $KERNEL_ENTRY, %eax
        jmp     *%rax
        .code32
hang:   hlt
        jmp     hang

        .data
        .balign 8
gdt:    .quad   0, 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
setup_header:
        .incbin "setup_header.bin"              // of this kernel's bzImage, from offset 0x1F1
setup_header_end:
command_line:
        .incbin "command_line.bin"
        .byte   0

        .bss
        .balign 4096
pml4:   .skip   4096
pdpt:   .skip   4096
page_directories:
        .skip   4 * 4096
zero_page:
        .skip   4096
        .skip   4096
stack_end:
