// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/uefi/console.hpp"

namespace undercroft::efi {
namespace {

void print(SystemTable* system, char const* text)
{
    char16_t wide[2] = {0, 0};
    for (; *text != 0; ++text) {
        wide[0] = static_cast<char16_t>(*text);
        system->console_out->output_string(system->console_out, wide);
    }
}

void print_number(SystemTable* system, unsigned value)
{
    char digits[12];
    unsigned at = sizeof(digits) - 1;
    digits[at] = 0;
    do {
        digits[--at] = static_cast<char>('0' + value % 10);
        value /= 10;
    } while (value != 0);
    print(system, digits + at);
}

} // namespace

void print_error(SystemTable* system, char const* text)
{
    print(system, "undercroft: error: ");
    print(system, text);
    print(system, "; the system starts without the sensor.\r\n");
}

void print_config_error(SystemTable* system, unsigned line, char const* text)
{
    print(system, "undercroft: error: undercroft.conf");
    if (line != 0) {
        print(system, " line ");
        print_number(system, line);
    }
    print(system, ": ");
    print(system, text);
    print(system, "; the system starts without the sensor.\r\n");
}

} // namespace undercroft::efi
