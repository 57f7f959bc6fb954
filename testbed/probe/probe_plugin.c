// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A QEMU TCG plugin that counts, from outside the machine, what a sensor beneath the
// guest does: VMRUN instructions executed, and instructions executed in the sensor
// (translation blocks near the VMRUN instruction, entered times length; exact with one
// CPU, but for blocks left by a fault). A program in the guest marks phases with a NOP
// that neither the sensor nor the processor can notice (testbed/guest/mark.c); at each
// mark, and at the end, the counts are written into QEMU's log (-d plugin -D FILE).
// Argument count=on asks for instruction counts as well (firmware then runs slower); profile=FILE
// also writes, at each mark, how often each block of the sensor was entered so far.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin_abi.h"

enum { cells_per_chunk = 65536, window_bytes = 8 << 20 };

struct cell {
    uint64_t address;
    uint64_t length; // in instructions
    uint64_t entered;
};

struct chunk {
    struct chunk* next;
    size_t used;
    struct cell cells[cells_per_chunk];
};

static struct chunk* chunks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_fast64_t vmrun_address; // 0: none seen yet
static atomic_uint_fast64_t vmruns;
static bool count_instructions;
static FILE* profile;

static bool near_vmrun(uint64_t address)
{
    uint64_t const middle = atomic_load(&vmrun_address);
    return address + window_bytes >= middle && address < middle + window_bytes;
}

static uint64_t sensor_instructions(void)
{
    uint64_t total = 0;
    pthread_mutex_lock(&lock);
    for (struct chunk const* chunk = chunks; chunk; chunk = chunk->next)
        for (size_t i = 0; i < chunk->used; ++i)
            if (near_vmrun(chunk->cells[i].address))
                total += chunk->cells[i].entered * chunk->cells[i].length;
    pthread_mutex_unlock(&lock);
    return total;
}

static void report(char const* what, unsigned number)
{
    char text[160];
    snprintf(text, sizeof text, "undercroft-probe: %s %u vmruns %llu instructions %llu\n", what, number,
             (unsigned long long)atomic_load(&vmruns),
             (unsigned long long)(count_instructions && atomic_load(&vmrun_address) ? sensor_instructions() : 0));
    qemu_plugin_outs(text);
}

static void on_vmrun(unsigned cpu, void* address)
{
    if (atomic_fetch_add(&vmruns, 1) == 0) {
        atomic_store(&vmrun_address, (uint64_t)(uintptr_t)address);
        char text[120];
        snprintf(text, sizeof text, "undercroft-probe: first vmrun on cpu %u at %p\n", cpu, address);
        qemu_plugin_outs(text);
    }
}

// One line a block: offset from the VMRUN instruction, length in instructions, times entered.
static void write_profile(unsigned number)
{
    int64_t const middle = (int64_t)atomic_load(&vmrun_address);
    fprintf(profile, "mark %u\n", number);
    pthread_mutex_lock(&lock);
    for (struct chunk const* chunk = chunks; chunk; chunk = chunk->next)
        for (size_t i = 0; i < chunk->used; ++i)
            if (chunk->cells[i].entered && near_vmrun(chunk->cells[i].address))
                fprintf(profile, "%lld %llu %llu\n", (long long)((int64_t)chunk->cells[i].address - middle),
                        (unsigned long long)chunk->cells[i].length, (unsigned long long)chunk->cells[i].entered);
    pthread_mutex_unlock(&lock);
    fflush(profile);
}

static void on_mark(unsigned cpu, void* number)
{
    (void)cpu;
    report("mark", (unsigned)(uintptr_t)number);
    if (profile && atomic_load(&vmrun_address))
        write_profile((unsigned)(uintptr_t)number);
}

static struct cell* new_cell(uint64_t address, uint64_t length)
{
    if (!chunks || chunks->used == cells_per_chunk) {
        struct chunk* const chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            abort();
        chunk->next = chunks;
        chunks = chunk;
    }
    struct cell* const cell = &chunks->cells[chunks->used++];
    cell->address = address;
    cell->length = length;
    return cell;
}

static void watch_instruction(struct qemu_plugin_insn* instruction)
{
    static unsigned char const vmrun[] = {0x0f, 0x01, 0xd8};
    static unsigned char const mark[] = {0x0f, 0x1f, 0x80}; // nopl disp32(%rax), disp32 = "UCM" and a number
    unsigned char const* const bytes = qemu_plugin_insn_data(instruction);
    size_t const size = qemu_plugin_insn_size(instruction);
    if (size == sizeof vmrun && !memcmp(bytes, vmrun, sizeof vmrun))
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_vmrun, QEMU_PLUGIN_CB_NO_REGS,
                                               (void*)(uintptr_t)qemu_plugin_insn_vaddr(instruction));
    else if (size == 7 && !memcmp(bytes, mark, sizeof mark) && !memcmp(bytes + 4, "MCU", 3))
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark, QEMU_PLUGIN_CB_NO_REGS,
                                               (void*)(uintptr_t)bytes[3]);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb* block)
{
    (void)id;
    size_t const length = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < length; ++i)
        watch_instruction(qemu_plugin_tb_get_insn(block, i));
    uint64_t const address = qemu_plugin_tb_vaddr(block);
    // Once VMRUN is known only its surroundings are counted, so that the guest runs at full speed.
    if (!count_instructions || (atomic_load(&vmrun_address) && !near_vmrun(address)))
        return;
    pthread_mutex_lock(&lock);
    struct cell* const cell = new_cell(address, length);
    pthread_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &cell->entered, 1);
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void* data)
{
    (void)id;
    (void)data;
    report("end", 0);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, struct qemu_plugin_info const* info, int argc,
                                           char** argv)
{
    (void)info;
    for (int i = 0; i < argc; ++i) {
        if (!strcmp(argv[i], "count=on")) {
            count_instructions = true;
        } else if (!strncmp(argv[i], "profile=", 8)) {
            count_instructions = true;
            profile = fopen(argv[i] + 8, "w");
            if (!profile) {
                fprintf(stderr, "probe plugin: cannot write %s\n", argv[i] + 8);
                return -1;
            }
        } else {
            fprintf(stderr, "probe plugin: unknown argument %s\n", argv[i]);
            return -1;
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
