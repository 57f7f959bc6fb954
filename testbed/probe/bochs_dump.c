// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "bochs_dump.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    max_cpus = 8,
    max_pointers = 8,
    page_bytes = 4096,
    field_ept_pointer = 0x201A,
    offset_mask = (2 << 20) - 1,
    most_at = 4
};
enum { mtrr_capability = 0xFE, mtrr_default = 0x2FF, mtrr_variable = 0x200, msr_apic_base = 0x1B };
static uint32_t const mtrr_fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F};

// Bochs's C++ methods, called as the ABI has them: `this` comes first. Its memory is one static object without.
static uint64_t (*vmread64)(void const* cpu, unsigned field);
static bool (*read_msr)(void const* cpu, uint32_t number, uint64_t* value);
static unsigned char const* (*host_address)(void const* cpu, uint64_t address, unsigned access);
static void const* const* const* all_cpus;
static uint64_t (*instruction_pointer)(void); // of the debugger's CPU
static unsigned* debugged_cpu;

static char const* folder;
static bool dumps_at;
static uint64_t dump_at;
static unsigned dumped_at;
static uint64_t memory_bytes;
static uint64_t pointers[max_cpus][max_pointers];

static void fail(char const* text)
{
    fprintf(stderr, "bochs_dump: %s\n", text);
    _exit(3);
}

void dump_prepare(void const* (*find)(char const* symbol))
{
    char const* const bytes = getenv("UNDERCROFT_MEMORY");
    folder = getenv("UNDERCROFT_DUMPS");
    if (folder == NULL || bytes == NULL) {
        folder = NULL;
        return;
    }
    memory_bytes = strtoull(bytes, NULL, 10);
    vmread64 = (uint64_t (*)(void const*, unsigned))find("_ZN8BX_CPU_C8VMread64Ej");
    read_msr = (bool (*)(void const*, uint32_t, uint64_t*))find("_ZN8BX_CPU_C5rdmsrEjPm");
    host_address =
        (unsigned char const* (*)(void const*, uint64_t, unsigned))find("_ZN8BX_MEM_C14getHostMemAddrEP8BX_CPU_Cmj");
    all_cpus = (void const* const* const*)find("bx_cpu_array");
    char const* const at = getenv("UNDERCROFT_DUMP_AT");
    if (at == NULL)
        return;
    dumps_at = true;
    dump_at = strtoull(at, NULL, 16) & offset_mask;
    instruction_pointer = (uint64_t (*)(void))find("_Z14bx_dbg_get_ripv");
    debugged_cpu = (unsigned*)find("dbg_cpu");
}

void dump_note_entry(unsigned cpu)
{
    if (folder == NULL || cpu >= max_cpus)
        return;
    uint64_t const pointer = vmread64((*all_cpus)[cpu], field_ept_pointer);
    for (unsigned i = 0; i < max_pointers; ++i) {
        if (pointers[cpu][i] == pointer)
            return;
        if (pointers[cpu][i] == 0) {
            pointers[cpu][i] = pointer;
            return;
        }
    }
    fail("more EPT pointers than there are places for");
}

static void write_memory(char const* name)
{
    static unsigned char const zeros[page_bytes];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.ram", folder, name);
    int const file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file < 0 || ftruncate(file, (off_t)memory_bytes) != 0)
        fail("cannot write the memory");
    for (uint64_t at = 0; at < memory_bytes; at += page_bytes) {
        // No address: registers lie there, such as the VGA's.
        unsigned char const* const page = host_address((*all_cpus)[0], at, 0);
        if (page != NULL && memcmp(page, zeros, page_bytes) != 0 &&
            pwrite(file, page, page_bytes, (off_t)at) != page_bytes)
            fail("cannot write the memory");
    }
    close(file);
}

void dump_note_root_instruction(unsigned cpu)
{
    if (!dumps_at || dumped_at == most_at)
        return;
    *debugged_cpu = cpu;
    if ((instruction_pointer() & offset_mask) != dump_at)
        return;
    char name[16];
    snprintf(name, sizeof name, "at-%u", ++dumped_at);
    write_memory(name);
}

static uint64_t msr(unsigned cpu, uint32_t number)
{
    uint64_t value = 0;
    if (!read_msr((*all_cpus)[cpu], number, &value))
        fail("this Bochs does not tell its MTRRs");
    return value;
}

static void write_mtrrs(FILE* out, unsigned cpu)
{
    uint64_t const capability = msr(cpu, mtrr_capability);
    fprintf(out, "\"mtrr_capability\":%lu,\"mtrr_default\":%lu,\"mtrr_fixed\":[", capability, msr(cpu, mtrr_default));
    for (unsigned i = 0; i < sizeof mtrr_fixed / sizeof *mtrr_fixed; ++i)
        fprintf(out, "%s%lu", i ? "," : "", msr(cpu, mtrr_fixed[i]));
    fprintf(out, "],\"mtrr_variable\":[");
    for (unsigned i = 0; i < (capability & 0xFF); ++i)
        fprintf(out, "%s[%lu,%lu]", i ? "," : "", msr(cpu, mtrr_variable + 2 * i), msr(cpu, mtrr_variable + 2 * i + 1));
    fprintf(out, "]");
}

static FILE* open_json(char const* name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    FILE* const out = fopen(path, "w");
    if (out == NULL)
        fail("cannot write the registers");
    return out;
}

void dump_write(char const* name, unsigned cpus)
{
    if (folder == NULL)
        return;
    write_memory(name);
    FILE* const out = open_json(name);
    fprintf(out, "{\"cpus\":[");
    for (unsigned cpu = 0; cpu < cpus && cpu < max_cpus; ++cpu) {
        // Without VMXON there is no VMCS to read.
        uint64_t const pointer = pointers[cpu][0] != 0 ? vmread64((*all_cpus)[cpu], field_ept_pointer) : 0;
        fprintf(out, "%s{\"ept_pointer\":%lu,\"apic_base\":%lu,", cpu ? "," : "", pointer, msr(cpu, msr_apic_base));
        write_mtrrs(out, cpu);
        fprintf(out, "}");
    }
    fprintf(out, "]}\n");
    fclose(out);
}

void dump_end(unsigned cpus)
{
    if (folder == NULL)
        return;
    FILE* const out = open_json("entered");
    fprintf(out, "{\"ept_pointers\":[");
    for (unsigned cpu = 0; cpu < cpus && cpu < max_cpus; ++cpu) {
        fprintf(out, "%s[", cpu ? "," : "");
        for (unsigned i = 0; i < max_pointers && pointers[cpu][i] != 0; ++i)
            fprintf(out, "%s%lu", i ? "," : "", pointers[cpu][i]);
        fprintf(out, "]");
    }
    fprintf(out, "]}\n");
    fclose(out);
}
