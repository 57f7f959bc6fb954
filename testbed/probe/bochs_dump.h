// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Dumps of the machine in Bochs, taken outside it: memory, and what the processors' own registers hold.
#include <stdint.h>

// Takes what it needs from this Bochs by `find`. Without $UNDERCROFT_DUMPS (a folder) and $UNDERCROFT_MEMORY
// (bytes of RAM) the functions below do nothing.
void dump_prepare(void const* (*find)(char const* symbol));

// At each VM entry, before it: notes which EPT pointer is entered with.
void dump_note_entry(unsigned cpu);

// Writes NAME.ram (physical memory from 0; holes are zeros) and NAME.json: per CPU the current VMCS's EPT pointer,
// the local APIC's base and the MTRRs.
void dump_write(char const* name, unsigned cpus);

// For each instruction in VMX root operation: writes at-1.ram, at-2.ram, ... when it lies at $UNDERCROFT_DUMP_AT
// (hexadecimal; the lowest 21 bits of its address count, as the sensor lies at a multiple of 2 MiB).
void dump_note_root_instruction(unsigned cpu);

// Writes entered.json: per CPU the different EPT pointers noted.
void dump_end(unsigned cpus);
