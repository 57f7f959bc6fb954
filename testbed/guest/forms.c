// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// forms RESOURCE5: executes instruction forms that drivers never use on the registers of a stopped
// AHCI port, virtualisation instructions, and MSR and port accesses of a hostile guest; prints one
// JSON line each. Lines with "same" must be equal on a machine without the sensor
// (witness/forms_check.py); the others name what must be refused. The AHCI driver must be unbound.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    page = 4096,
    port_registers = 0x180, // port 1: PxCLB, PxCLBU, PxFB, PxFBU, which hold anything while the port is stopped
    arithmetic = 0x8d5,     // CF PF AF ZF SF OF
    logical = 0x8c5,        // AF is undefined
    carry = 0x001,          // the others are undefined
};
static uint8_t* abar; // one page, nothing mapped behind it
static uint8_t* ram;
static sigjmp_buf escape;
static int volatile traps;

static void on_fault(int signal)
{
    siglongjmp(escape, signal);
}

static void on_trap(int signal)
{
    (void)signal;
    ++traps;
}

static uint32_t volatile* registers(void)
{
    return (uint32_t volatile*)(abar + port_registers);
}

static void reset(void)
{
    for (unsigned i = 0; i < 4; ++i)
        registers()[i] = 0x01020400U + 0x10101000U * i;
    for (unsigned i = 0; i < 64; ++i)
        ram[i] = (uint8_t)(0xc0 + i);
}

static void report(char const* kind, char const* name, int signal, uint64_t a, uint64_t c, uint64_t flags)
{
    printf("{\"%s\":\"%s\",\"signal\":%d", kind, name, signal);
    if (!signal)
        printf(",\"rax\":\"%llx\",\"rcx\":\"%llx\",\"flags\":\"%llx\"", (unsigned long long)a, (unsigned long long)c,
               (unsigned long long)flags);
    printf(",\"registers\":\"");
    for (unsigned i = 0; i < 4; ++i)
        printf("%08x ", registers()[i]);
    printf("\",\"memory\":\"");
    for (unsigned i = 0; i < 32; ++i)
        printf("%02x", ram[i]);
    printf("\"}\n");
}

/// rbx: the port's registers, rdx: ordinary memory; rsi, rdi, xmm0 free.
#define FORM(name, mask, text) FORM_AS("same", name, mask, text)
#define FORM_AS(kind, name, mask, text)                                                                                \
    do {                                                                                                               \
        reset();                                                                                                       \
        uint64_t volatile a = 0x1122334455667788, c = 0x99aabbcc00000003, flags = 0;                                   \
        int const signal = sigsetjmp(escape, 1);                                                                       \
        if (!signal) {                                                                                                 \
            uint64_t ra = a, rc = c, rf;                                                                               \
            __asm__ volatile("lea -256(%%rsp), %%rsp; xor %%esi, %%esi\n\t" text                                       \
                             "\n\tpushfq; pop %[f]; cld; lea 256(%%rsp), %%rsp"                                        \
                             : "+a"(ra), "+c"(rc), [f] "=&r"(rf)                                                       \
                             : "b"(registers()), "d"(ram)                                                              \
                             : "rsi", "rdi", "xmm0", "memory", "cc");                                                  \
            a = ra, c = rc, flags = rf & (mask);                                                                       \
        }                                                                                                              \
        report(kind, name, signal, a, c, flags);                                                                       \
    } while (0)

static void moves(void)
{
    FORM("mov 8", 0, "mov %%al, (%%rbx)");
    FORM("mov high 8", 0, "mov %%ah, (%%rbx)");
    FORM("mov 16", 0, "mov %%ax, (%%rbx)");
    FORM("mov 32", 0, "mov %%eax, (%%rbx)");
    FORM("mov 64", 0, "mov %%rax, (%%rbx)");
    FORM("mov imm", 0, "movl $0x12345400, 8(%%rbx)");
    FORM("mov imm sign-extended", 0, "movq $-1024, 8(%%rbx)");
    // An emulator's own processor breaks these up into bytes; a real one does not.
    FORM_AS("listed", "mov unaligned", 0, "mov %%eax, 2(%%rbx)");
    FORM_AS("listed", "mov unaligned 64", 0, "mov %%rax, 5(%%rbx)");
    FORM("load 8", 0, "mov 1(%%rbx), %%al");
    FORM("load 64", 0, "mov (%%rbx), %%rcx");
    FORM("movzx", 0, "movzwl 2(%%rbx), %%ecx");
    FORM("movsx", 0, "movsbq 3(%%rbx), %%rcx");
    FORM("movnti", 0, "movnti %%eax, (%%rbx)");
    FORM("movd", 0, "movd %%eax, %%xmm0; movd %%xmm0, (%%rbx)");
    FORM("movdqu store", 0, "movdqu (%%rdx), %%xmm0; movdqu %%xmm0, (%%rbx)");
    FORM("movdqu load", 0, "movdqu (%%rbx), %%xmm0; movdqu %%xmm0, (%%rdx)");
    FORM("push", 0, "push (%%rbx); pop (%%rdx)");
    FORM("pop", 0, "push (%%rdx); pop (%%rbx)");
    FORM("fistp", 0, "fildl (%%rdx); fistpl (%%rbx)");
    FORM("lea of rsp-relative registers", 0, "xchg %%rsp, %%rbx; mov (%%rsp), %%eax; xchg %%rsp, %%rbx");
}

static void read_modify_write(void)
{
    FORM("xchg", 0, "xchg %%eax, (%%rbx)");
    FORM("xadd", arithmetic, "lock xadd %%eax, (%%rbx)");
    FORM("cmpxchg unequal", arithmetic, "lock cmpxchg %%ecx, (%%rbx)");
    FORM("cmpxchg equal", arithmetic, "mov (%%rbx), %%eax; lock cmpxchg %%ecx, (%%rbx)");
    FORM("cmpxchg8b", 0x40, "push %%rbx; push %%rdx; mov %%rbx, %%rsi; lock cmpxchg8b (%%rsi); pop %%rdx; pop %%rbx");
    FORM("add", arithmetic, "add %%eax, (%%rbx)");
    FORM("adc", arithmetic, "stc; adc %%ax, (%%rbx)");
    FORM("sub from memory", arithmetic, "sub (%%rbx), %%rcx");
    FORM("sbb", arithmetic, "stc; sbb %%eax, (%%rbx)");
    FORM("and", logical, "andl $0x0f0f0f0f, (%%rbx)");
    FORM("or", logical, "or %%al, (%%rbx)");
    FORM("xor", logical, "xor %%rax, (%%rbx)");
    FORM("inc keeps CF", arithmetic, "stc; incl (%%rbx)");
    FORM("dec", arithmetic, "decw (%%rbx)");
    FORM("not", 0, "notl (%%rbx)");
    FORM("neg", arithmetic, "negl (%%rbx)");
    FORM("cmp", arithmetic, "cmp %%eax, (%%rbx)");
    FORM("test", logical, "test %%eax, (%%rbx)");
    FORM("bt", carry, "btl $10, (%%rbx)");
    FORM("bts", carry, "lock btsl $11, (%%rbx)");
    FORM("btr", carry, "btr %%ecx, (%%rbx)");
    FORM("shl", carry, "shll $1, (%%rbx)");
}

static void strings(void)
{
    FORM("stosd", 0, "mov %%rbx, %%rdi; stosl");
    FORM("rep stosd", 0, "mov %%rbx, %%rdi; mov $3, %%ecx; rep stosl");
    FORM("rep stosd downwards", 0, "lea 8(%%rbx), %%rdi; mov $2, %%ecx; std; rep stosl");
    FORM("rep stosb of none", 0, "mov %%rbx, %%rdi; xor %%ecx, %%ecx; rep stosb");
    FORM("lodsq", 0, "mov %%rbx, %%rsi; lodsq");
    FORM("rep movsd out", 0, "mov %%rbx, %%rsi; mov %%rdx, %%rdi; mov $4, %%ecx; rep movsl");
    FORM("rep movsd in", 0, "mov %%rdx, %%rsi; mov %%rbx, %%rdi; mov $4, %%ecx; rep movsl");
    FORM("movsd within", 0, "mov %%rbx, %%rsi; lea 8(%%rbx), %%rdi; movsl");
    FORM("cmpsd", arithmetic, "mov %%rbx, %%rsi; mov %%rdx, %%rdi; cmpsl");
}

/// Faults in the middle, and the guest stepping itself.
static void traps_and_faults(void)
{
    // The page behind is not mapped: the store faults, and the handler must not run with other rights.
    FORM("store into the unmapped page behind", 0, "lea -384(%%rbx), %%rsi; mov %%rax, 4092(%%rsi)");
    FORM("SSE store into the unmapped page behind", 0,
         "movdqu (%%rdx), %%xmm0; lea -384(%%rbx), %%rsi; movdqu %%xmm0, 4088(%%rsi)");
    FORM("after the faults", 0, "movd %%eax, %%xmm0; movd %%xmm0, (%%rbx)");
    FORM("misaligned SSE store", 0, "movaps %%xmm0, 4(%%rbx)");
    traps = 0;
    FORM("stepped by the guest", 0,
         "pushfq; orl $0x100, (%%rsp); popfq; mov %%eax, (%%rbx); movd %%eax, %%xmm0; movd %%xmm0, 8(%%rbx); nop;"
         "pushfq; andl $~0x100, (%%rsp); popfq");
    printf("{\"same\":\"traps while stepped\",\"count\":%d}\n", traps);
}

#define INSTRUCTION(kind, name, text)                                                                                  \
    do {                                                                                                               \
        int const signal = sigsetjmp(escape, 1);                                                                       \
        if (!signal)                                                                                                   \
            __asm__ volatile(text : : "a"(0), "b"(0), "c"(0), "d"(0) : "rsi", "rdi", "memory", "cc");                  \
        printf("{\"" kind "\":\"" name "\",\"signal\":%d}\n", signal);                                                 \
    } while (0)

static void instructions(void)
{
    INSTRUCTION("same", "vmmcall", "vmmcall");
    INSTRUCTION("same", "vmmcall with prefixes", ".byte 0x66, 0x2e; vmmcall");
    INSTRUCTION("same", "vmcall", ".byte 0x0f, 0x01, 0xc1");
    // #UD where SVM is not in use; at this privilege level #GP where it is.
    INSTRUCTION("same", "vmrun", "vmrun %%rax");
    INSTRUCTION("same", "vmload", "vmload %%rax");
    INSTRUCTION("same", "vmsave", "vmsave %%rax");
    INSTRUCTION("same", "stgi", "stgi");
    INSTRUCTION("same", "clgi", "clgi");
    INSTRUCTION("same", "invlpga", "invlpga %%rax, %%ecx");
    INSTRUCTION("same", "skinit", ".byte 0x0f, 0x01, 0xde");
    INSTRUCTION("same", "vmrun with prefixes", ".byte 0x66, 0x2e, 0x48; vmrun %%rax");
    // #GP as ever.
    INSTRUCTION("same", "hlt", "hlt");
    INSTRUCTION("same", "rdmsr", "rdmsr");
    INSTRUCTION("same", "mov from cr0", "mov %%cr0, %%rax");
    INSTRUCTION("same", "int of a gate that is not there", "int $0xf0");
    INSTRUCTION("same", "load of a bad selector", "mov $0x7ff8, %%eax; mov %%eax, %%es");
    INSTRUCTION("same", "non-canonical address", "mov $0x8000, %%eax; shl $32, %%rax; mov (%%rax), %%rax");
}

static void msr(char const* kind, char const* name, uint32_t number, int write, uint64_t value)
{
    int const file = open("/dev/cpu/0/msr", O_RDWR);
    errno = 0;
    ssize_t const done = write ? pwrite(file, &value, 8, number) : pread(file, &value, 8, number);
    printf("{\"%s\":\"%s %x\",\"done\":%d", kind, name, number, done == 8);
    if (!write && done == 8)
        printf(",\"value\":\"%llx\"", (unsigned long long)value);
    printf("}\n");
    close(file);
}

static uint64_t msr_value(uint32_t number)
{
    uint64_t value = 0;
    int const file = open("/dev/cpu/0/msr", O_RDONLY);
    if (pread(file, &value, 8, number) != 8)
        printf("{\"error\":\"msr %x\"}\n", number);
    close(file);
    return value;
}

static void msrs(void)
{
    uint64_t const efer = msr_value(0xc0000080), base = msr_value(0x1b);
    msr("same", "read", 0xc0000080, 0, 0);
    // Outside the ranges of the permission map.
    uint32_t const far[] = {0x00002000, 0x40000000, 0x4b564d00, 0xbfffffff,
                            0xc0002000, 0xc0012000, 0xdeadbeef, 0xffffffff};
    for (unsigned i = 0; i < sizeof far / sizeof *far; ++i) {
        msr("same", "read", far[i], 0, 0);
        msr("same", "write", far[i], 1, ~0ULL);
    }
    msr("refused", "SVME in EFER", 0xc0000080, 1, efer | 1ULL << 12);
    msr("refused", "reserved bits in EFER", 0xc0000080, 1, efer | 1ULL << 40);
    msr("refused", "host save area", 0xc0010117, 1, 0x1000);
    msr("refused", "local APIC over RAM", 0x1b, 1, (base & 0xfff) | 0x100000);
    msr("same", "write EFER as it is", 0xc0000080, 1, efer);
    msr("same", "write local APIC base as it is", 0x1b, 1, base);
}

/// Strings through the configuration ports go the way of plain accesses: the host bridge answers, read back as a string.
static void string_port(void)
{
    if (iopl(3) != 0)
        printf("{\"error\":\"iopl\"}\n");
    uint32_t const address = 0x80000000;
    uint32_t latched = 0, bridge[2] = {0};
    int const signal = sigsetjmp(escape, 1);
    if (!signal) {
        uint32_t const* from = &address;
        uint32_t* into = bridge;
        uint64_t count = 2;
        __asm__ volatile("outsl" : "+S"(from) : "d"(0xcf8) : "memory");
        __asm__ volatile("inl %%dx, %%eax" : "=a"(latched) : "d"(0xcf8));
        __asm__ volatile("rep insl" : "+D"(into), "+c"(count) : "d"(0xcfc) : "memory");
    }
    printf("{\"same\":\"strings through the configuration ports\",\"signal\":%d,\"latched\":%u,\"bridge\":[%u,%u]}\n", signal,
           latched, bridge[0], bridge[1]);
}

int main(int argc, char** argv)
{
    struct sigaction action = {.sa_handler = on_fault};
    int const signals[] = {SIGSEGV, SIGBUS, SIGILL};
    for (unsigned i = 0; i < 3; ++i)
        sigaction(signals[i], &action, NULL);
    action.sa_handler = on_trap;
    sigaction(SIGTRAP, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int const file = argc == 2 ? open(argv[1], O_RDWR | O_SYNC) : -1;
    uint8_t* const room = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    abar = mmap(room, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    ram = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if (file < 0 || abar == MAP_FAILED || ram == MAP_FAILED)
        return fprintf(stderr, "usage: forms RESOURCE5\n"), 2;
    uint32_t volatile* const command = registers() + 6; // PxCMD: ST and FRE off
    *command &= ~0x11U;
    usleep(100000);
    moves();
    read_modify_write();
    strings();
    traps_and_faults();
    instructions();
    msrs();
    string_port();
    printf("{\"end\":true}\n");
    return 0;
}
