// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ide/task_file.hpp"

#include "hypervisor/mediate/ide/registers.hpp"

namespace undercroft::ide {
namespace {

/// Where a FIS has what the registers count ... device hold.
constexpr std::uint8_t current_at[] = {0, 3, 12, 4, 5, 6, 7};
constexpr std::uint8_t previous_at[] = {0, 11, 13, 8, 9, 10};
constexpr std::uint8_t device_obsolete = 0xa0; // bits 7 and 5 read as the device likes

std::uint8_t load(TaskFile::Ports const& ports, unsigned reg)
{
    return static_cast<std::uint8_t>(ports.io->load(static_cast<std::uint16_t>(ports.command_block + reg), 1));
}

} // namespace

void TaskFile::written(unsigned reg, std::uint8_t value)
{
    Register& r = registers_[reg];
    r.previous = r.current;
    r.current = value;
    if (r.writes < 2)
        ++r.writes;
}

void TaskFile::forget()
{
    for (Register& r : registers_)
        r.writes = 0;
}

TaskFile::Taken TaskFile::take(std::uint8_t command, bool extended, Ports const& ports) const
{
    Taken taken;
    ata::CommandFis& fis = taken.fis;
    fis[0] = 0x27; // register FIS, host to device
    fis[1] = 0x80;
    fis[2] = command;
    fis[current_at[reg::features]] = registers_[reg::features].current;
    if (registers_[reg::features].writes == 2)
        fis[previous_at[reg::features]] = registers_[reg::features].previous;
    else if (registers_[reg::features].writes == 0 && command == opcode::data_set_management)
        fis[current_at[reg::features]] |= 1; // not seen: TRIM is the only function that there is
    bool const can_switch = ports.control != 0 && ports.control_known;
    auto const show_high_order = [&](bool on) {
        unsigned const value = ports.control_value & ~unsigned{control::high_order_byte};
        ports.io->store(ports.control, 1, on ? value | control::high_order_byte : value);
    };
    if (can_switch && (ports.control_value & control::high_order_byte) != 0)
        show_high_order(false); // writing a command clears the bit anyway
    for (unsigned i = reg::count; i <= reg::device; ++i) {
        fis[current_at[i]] = load(ports, i);
        unsigned const differs = fis[current_at[i]] ^ registers_[i].current;
        unsigned const means = i == reg::device ? 0xffU & ~unsigned{device_obsolete} : 0xffU;
        if (registers_[i].writes == 0 || (differs & means) != 0)
            taken.stale = true;
    }
    if (!extended)
        return taken;
    for (unsigned i = reg::count; i <= reg::lba_high; ++i) {
        fis[previous_at[i]] = registers_[i].previous;
        if (registers_[i].writes == 2)
            continue;
        taken.stale = true;
        if (!can_switch)
            continue;
        show_high_order(true);
        fis[previous_at[i]] = load(ports, i);
        show_high_order(false);
    }
    return taken;
}

bool is_extended(std::uint8_t opcode)
{
    switch (opcode) {
    case 0x06:
    case 0x24:
    case 0x25:
    case 0x26:
    case 0x29:
    case 0x2a:
    case 0x2b:
    case 0x34:
    case 0x35:
    case 0x36:
    case 0x39:
    case 0x3a:
    case 0x3b:
    case 0x3d:
    case 0x3e:
    case 0x44:
    case 0xce:
        return true;
    default:
        return false;
    }
}

} // namespace undercroft::ide
