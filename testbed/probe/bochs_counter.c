// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Counts VM exits and instructions from outside the sensor, in Bochs. Debian's Bochs is built
// with instrumentation whose callbacks are empty functions (one RET in a slot of 16 bytes);
// preloaded, this library lets those that it wants jump here. They are called for every
// instruction in any case, so that the run itself stays the same.
//
// Output ($UNDERCROFT_COUNTS): one JSON line per mark and one at the end. A mark is a byte
// that the guest writes to port 0x8901, where no device is. An ATA command gets a line too.
// On wish memory is dumped before the first VM entry and at mark 1 (bochs_dump.h).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bochs_dump.h"

#define EXPORT __attribute__((visibility("default")))
enum { max_cpus = 8, reasons = 80, mark_port = 0x8901, slot_bytes = 16, channels = 2, mark_booted = 1 };
enum mode { outside, root, guest, modes };

struct cpu {
    enum mode mode;
    uint64_t instructions[modes];
    uint64_t iterations[modes]; // of REP; one instruction each in Bochs's time
    uint64_t entries;
    uint64_t exits[reasons];
    uint64_t entry_failures;
};
struct channel {
    uint8_t device, count[2], lba[3][2]; // [..][1] is what the register held before (48-bit commands)
};

static struct cpu cpus[max_cpus];
static struct channel ata[channels];
static uint16_t const ata_base[channels] = {0x1F0, 0x170};
static unsigned current, cpus_seen;
static void const* handler_vmlaunch; // of VMRESUME too
static void const* handler_vmxon;
static void const* handler_vmxoff;
static FILE* out;

static void fail(char const* text)
{
    fprintf(stderr, "bochs_counter: %s\n", text);
    _exit(3);
}

static void print_cpu(struct cpu const* cpu)
{
    static char const* const names[modes] = {"outside", "root", "guest"};
    fprintf(out, "{\"mode\":\"%s\"", names[cpu->mode]);
    for (unsigned i = 0; i < modes; ++i)
        fprintf(out, ",\"%s\":%lu,\"%s_iterations\":%lu", names[i], cpu->instructions[i], names[i], cpu->iterations[i]);
    fprintf(out, ",\"entries\":%lu,\"entry_failures\":%lu,\"exits\":{", cpu->entries, cpu->entry_failures);
    char const* comma = "";
    for (unsigned i = 0; i < reasons; ++i) {
        if (cpu->exits[i] == 0)
            continue;
        fprintf(out, "%s\"%u\":%lu", comma, i, cpu->exits[i]);
        comma = ",";
    }
    fprintf(out, "}}");
}

static void print_counts(char const* name, unsigned value)
{
    fprintf(out, "{\"%s\":%u,\"cpus\":[", name, value);
    for (unsigned i = 0; i < cpus_seen; ++i) {
        if (i != 0)
            fputc(',', out);
        print_cpu(&cpus[i]);
    }
    fprintf(out, "]}\n");
    fflush(out);
}

// First member of Bochs's instruction object: the function that executes it.
static void before_execution(unsigned cpu, void const* const* instruction)
{
    current = cpu;
    struct cpu* const at = &cpus[cpu & (max_cpus - 1)];
    ++at->instructions[at->mode];
    if (cpu >= cpus_seen)
        cpus_seen = cpu < max_cpus ? cpu + 1 : max_cpus;
    if (at->mode == root)
        dump_note_root_instruction(cpu);
    void const* const handler = *instruction;
    if (handler == handler_vmlaunch && at->mode == root) {
        dump_note_entry(cpu);
        if (cpu == 0 && at->entries == 0)
            dump_write("start", cpus_seen);
        at->mode = guest;
        ++at->entries;
    } else if (handler == handler_vmxon && at->mode == outside) {
        at->mode = root;
    } else if (handler == handler_vmxoff && at->mode == root) {
        at->mode = outside;
    }
}

static void repeat_iteration(unsigned cpu, void const* instruction)
{
    (void)instruction;
    struct cpu* const at = &cpus[cpu & (max_cpus - 1)];
    ++at->iterations[at->mode];
}

static void vmexit(unsigned cpu, uint32_t reason, uint64_t qualification)
{
    (void)qualification;
    struct cpu* const at = &cpus[cpu & (max_cpus - 1)];
    at->mode = root;
    if (reason >> 31)
        ++at->entry_failures;
    uint32_t const basic = reason & 0xFFFF;
    ++at->exits[basic < reasons ? basic : reasons - 1];
}

static void shift(uint8_t* pair, uint8_t value)
{
    pair[1] = pair[0];
    pair[0] = value;
}

static void ata_command(unsigned channel, uint8_t command)
{
    struct channel const* const c = &ata[channel];
    fprintf(out,
            "{\"ata\":%u,\"drive\":%u,\"command\":%u,\"device\":%u,\"count\":[%u,%u],\"lba\":[%u,%u,%u,%u,%u,%u],"
            "\"cpu\":%u,\"mode\":%u}\n",
            channel, c->device >> 4 & 1, command, c->device, c->count[0], c->count[1], c->lba[0][0], c->lba[1][0],
            c->lba[2][0], c->lba[0][1], c->lba[1][1], c->lba[2][1], current, cpus[current & (max_cpus - 1)].mode);
}

static void port_write(uint16_t port, unsigned bytes, unsigned value)
{
    if (port == mark_port) {
        print_counts("mark", value & 0xFF);
        if ((value & 0xFF) == mark_booted)
            dump_write("booted", cpus_seen);
        return;
    }
    for (unsigned i = 0; i < channels; ++i) {
        unsigned const offset = port - ata_base[i];
        if (bytes != 1 || offset < 2 || offset > 7)
            continue;
        uint8_t const byte = (uint8_t)value;
        if (offset == 2)
            shift(ata[i].count, byte);
        else if (offset < 6)
            shift(ata[i].lba[offset - 3], byte);
        else if (offset == 6)
            ata[i].device = byte;
        else
            ata_command(i, byte);
    }
}

static void const* find(char const* symbol)
{
    void const* const address = dlsym(RTLD_DEFAULT, symbol);
    if (address == NULL)
        fail("this Bochs does not export what is needed");
    return address;
}

static void redirect(char const* symbol, void const* target)
{
    uint8_t* const slot = (uint8_t*)find(symbol);
    if ((uintptr_t)slot % slot_bytes != 0 || slot[0] != 0xC3)
        fail("this Bochs has other instrumentation");
    uint8_t code[13] = {0x49, 0xBB, [10] = 0x41, 0xFF, 0xE3}; // mov r11, target; jmp r11
    memcpy(code + 2, &target, sizeof target);
    uintptr_t const page = (uintptr_t)slot & ~(uintptr_t)4095;
    size_t const length = (uintptr_t)slot + sizeof code - page;
    if (mprotect((void*)page, length, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        fail("cannot write to Bochs's code");
    memcpy(slot, code, sizeof code);
    if (mprotect((void*)page, length, PROT_READ | PROT_EXEC) != 0)
        fail("cannot protect Bochs's code again");
}

EXPORT __attribute__((constructor)) void counter_start(void)
{
    char const* const path = getenv("UNDERCROFT_COUNTS");
    if (path == NULL || dlsym(RTLD_DEFAULT, "_Z15bx_instr_vmexitjjm") == NULL)
        return; // the shell that starts Bochs, for instance
    out = fopen(path, "w");
    if (out == NULL)
        fail("cannot write the counts");
    handler_vmlaunch = find("_ZN8BX_CPU_C8VMLAUNCHEP15bxInstruction_c");
    handler_vmxon = find("_ZN8BX_CPU_C5VMXONEP15bxInstruction_c");
    handler_vmxoff = find("_ZN8BX_CPU_C6VMXOFFEP15bxInstruction_c");
    redirect("_Z25bx_instr_before_executionjP15bxInstruction_c", (void const*)before_execution);
    redirect("_Z25bx_instr_repeat_iterationjP15bxInstruction_c", (void const*)repeat_iteration);
    redirect("_Z15bx_instr_vmexitjjm", (void const*)vmexit);
    redirect("_Z13bx_instr_outptjj", (void const*)port_write);
    dump_prepare(find);
}

EXPORT __attribute__((destructor)) void counter_end(void)
{
    if (out == NULL)
        return;
    print_counts("end", 0);
    fclose(out);
    dump_end(cpus_seen);
}
