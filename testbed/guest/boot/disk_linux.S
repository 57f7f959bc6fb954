// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// First sectors of a disk that a BIOS boots: loads an uncompressed Linux kernel and starts
// it. Decompressing, and GRUB's copying byte by byte, would each take an emulator longer
// than Linux itself. testbed/boot_disk.py writes the table at sector 8: what lies where on
// the disk and belongs where in memory, the kernel's zero page and command line included.
// Boot protocol: Linux, Documentation/x86/boot.rst ("64-bit boot protocol") and zero-page.rst.
        .set    OWN_SECTORS, 8          // sector 0 to 7 of the disk: this program; 8: the table
        .set    TABLE, 0x8C00           // right behind this program (0x7C00)
        .set    ZERO_PAGE, 0x20000
        .set    PML4, 0x30000           // and five more pages
        .set    BUFFER, 0x40000
        .set    CHUNK_SECTORS, 127      // of one BIOS call; less than 64 KiB
        .set    E820_COUNT, ZERO_PAGE + 0x1E8
        .set    E820_TABLE, ZERO_PAGE + 0x2D0
        .set    MARK_PORT, 0x8901       // no device; Bochs's counter sees what is written there

        .text
        .code16
        .globl  start
start:  cli
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $start, %sp
        ljmp    $0, $1f
1:      sti
        cld
        mov     %dl, drive
        movw    $OWN_SECTORS, packet_sectors    // this program's other sectors, and the table
        movw    $start + 512, packet_offset
        movl    $1, packet_lba
        call    read
        jmp     second

read:   mov     $packet, %si
        mov     drive, %dl
        mov     $0x42, %ah
        int     $0x13
        jc      fail
        ret
fail:   mov     $message, %si
1:      lodsb
        test    %al, %al
        jz      2f
        mov     $0x0E, %ah
        mov     $7, %bx
        int     $0x10
        jmp     1b
2:      hlt
        jmp     2b

message:
        .asciz  "boot loader: the disk cannot be read"
drive:  .byte   0
        .balign 4
packet: .byte   16, 0
packet_sectors:
        .word   0
packet_offset:
        .word   0
packet_segment:
        .word   0
packet_lba:
        .long   0, 0
        .org    446
        .skip   64                      // partition table
        .word   0xAA55

        // Sector 1 on. Table entries: first sector, sectors, address, end; zeros up to the end.
second: mov     $0x2401, %ax            // address line 20 on
        int     $0x15
        movw    $0, packet_offset
        movw    $BUFFER >> 4, packet_segment
        mov     $TABLE, %bp
next:   mov     8(%bp), %edi
        test    %edi, %edi
        jz      memory
        mov     (%bp), %eax
        mov     %eax, packet_lba
        mov     4(%bp), %ebx            // sectors left
chunk:  mov     $CHUNK_SECTORS, %ecx
        cmp     %ecx, %ebx
        jae     1f
        mov     %ebx, %ecx
1:      jecxz   zeros
        mov     %cx, packet_sectors
        pushal
        call    read
        popal
        add     %ecx, packet_lba
        sub     %ecx, %ebx
        shl     $7, %ecx                // sectors to 32-bit words
        mov     $BUFFER, %esi
        movb    $0, fill
        call    high
        jmp     chunk
zeros:  mov     12(%bp), %ecx
        sub     %edi, %ecx
        jbe     1f
        add     $3, %ecx
        shr     $2, %ecx
        movb    $1, fill
        call    high
1:      add     $16, %bp
        jmp     next

        // Copies (or zeroes, with `fill`) ECX 32-bit words to EDI, wherever that is.
high:   cli
        lgdtl   gdt_pointer
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmp    $0x08, $2f
        .code32
2:      mov     $0x18, %eax
        mov     %eax, %ds
        mov     %eax, %es
        cmpb    $0, fill
        jne     3f
        rep movsl
        jmp     4f
3:      xor     %eax, %eax
        rep stosl
4:      mov     $0x28, %eax             // 16-bit segments with 64 KiB, as real mode has them
        mov     %eax, %ds
        mov     %eax, %es
        ljmp    $0x20, $5f
        .code16
5:      mov     %cr0, %eax
        and     $~1, %al
        mov     %eax, %cr0
        ljmp    $0, $6f
6:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        sti
        ret

        // The BIOS's memory map into the zero page: the same 20 bytes an entry.
memory: xor     %ebx, %ebx
        xor     %bp, %bp                // entries
        mov     $ZERO_PAGE >> 4, %ax
        mov     %ax, %es
        mov     $E820_TABLE - ZERO_PAGE, %di
1:      mov     $0xE820, %eax
        mov     $0x534D4150, %edx       // "SMAP"
        mov     $20, %ecx
        int     $0x15
        jc      2f
        cmp     $0x534D4150, %eax
        jne     2f
        inc     %bp
        add     $20, %di
        test    %ebx, %ebx
        jz      2f
        cmp     $128, %bp
        jb      1b
2:      mov     %bp, %ax
        mov     %al, %es:E820_COUNT - ZERO_PAGE
        cli
        lgdtl   gdt_pointer
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmp    $0x08, $3f

        // Identity map of the first 4 GiB with 2 MiB pages, then 64-bit mode.
        .code32
3:      mov     $0x18, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     $PML4, %edi
        mov     $6 * 1024, %ecx
        rep stosl
        movl    $PML4 + 0x1003, PML4
        mov     $PML4 + 0x2003, %eax
        mov     $PML4 + 0x1000, %edi
        mov     $4, %ecx
4:      mov     %eax, (%edi)
        add     $0x1000, %eax
        add     $8, %edi
        loop    4b
        mov     $0x83, %eax
        mov     $PML4 + 0x2000, %edi
        mov     $2048, %ecx
5:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    5b
        mov     %cr4, %eax
        or      $1 << 5, %eax           // PAE
        mov     %eax, %cr4
        mov     $PML4, %eax
        mov     %eax, %cr3
        mov     $0xC0000080, %ecx
        rdmsr
        or      $1 << 8, %eax           // EFER.LME
        wrmsr
        mov     %cr0, %eax
        or      $1 << 31, %eax
        mov     %eax, %cr0
        ljmp    $0x10, $6f
        .code64
6:      mov     $MARK_PORT, %edx
        mov     $11, %eax
        out     %al, %dx
        mov     $ZERO_PAGE, %esi
        mov     TABLE + 508, %eax       // the kernel's entry
        jmp     *%rax

        .balign 8
gdt:    .quad   0
        .quad   0x00CF9A000000FFFF      // 0x08: code, 32 bits
        .quad   0x00AF9A000000FFFF      // 0x10: code, 64 bits
        .quad   0x00CF92000000FFFF      // 0x18: data, all of memory
        .quad   0x00009A000000FFFF      // 0x20: code, 16 bits
        .quad   0x000092000000FFFF      // 0x28: data, 64 KiB
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
fill:   .byte   0
        .org    OWN_SECTORS * 512
