// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// mark N (0 ... 15): marks a phase for the probe plugin (testbed/probe) by a NOP whose
// displacement spells it. To everybody else it is a NOP: no exit, no trap.
#include <stdio.h>
#include <stdlib.h>

#define MARK(n)                                                                                                        \
    case n:                                                                                                            \
        __asm__ volatile(".byte 0x0f, 0x1f, 0x80, " #n ", 'M', 'C', 'U'");                                             \
        return 0;

int main(int argc, char** argv)
{
    char* end = NULL;
    unsigned long const number = argc == 2 ? strtoul(argv[1], &end, 10) : 16;
    if (end == NULL || *end != '\0' || end == argv[1])
        return fprintf(stderr, "usage: mark 0...15\n"), 2;
    switch (number) {
        MARK(0)
        MARK(1)
        MARK(2)
        MARK(3)
        MARK(4)
        MARK(5)
        MARK(6)
        MARK(7)
        MARK(8)
        MARK(9)
        MARK(10)
        MARK(11)
        MARK(12)
        MARK(13)
        MARK(14)
        MARK(15)
    default:
        return fprintf(stderr, "mark: %lu is not 0...15\n", number), 2;
    }
}
