// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ata/command.hpp"

#include <algorithm>

namespace undercroft::ata {
namespace {

constexpr std::uint8_t host_to_device = 0x27;
constexpr std::uint8_t is_command = 0x80;     // byte 1: C bit
constexpr std::uint8_t software_reset = 0x04; // byte 15: SRST
constexpr std::uint8_t device_lba = 0x40;     // byte 7
constexpr std::uint8_t device_fua = 0x80;     // byte 7, FPDMA commands only

/// Where a command keeps its address and sector count.
enum class Form : std::uint8_t { none, lba28, lba28_tagged, lba48, lba48_tagged, fpdma, range_blocks, fpdma_send };

struct Opcode {
    Operation operation = Operation::unknown;
    Form form = Form::none;
    bool forced_unit_access = false;
};

using OpcodeTable = std::array<Opcode, 256>;

template <std::size_t N>
constexpr void set(OpcodeTable& table, std::uint8_t const (&codes)[N], Operation operation, Form form,
                   bool forced_unit_access = false)
{
    for (std::uint8_t code : codes)
        table[code] = {operation, form, forced_unit_access};
}

constexpr OpcodeTable make_table()
{
    using enum Operation;
    OpcodeTable t{};
    // NOP, resets, sense, recalibrate, logs, verify, native max, streams, trusted, seek, diagnostics, microcode,
    // zones, SMART, overlay, sanitize, CFA, power, cache-less media commands, buffers, features, security, HPA.
    constexpr std::uint8_t others[] = {
        0x00, 0x03, 0x07, 0x08, 0x0b, 0x10, 0x12, 0x22, 0x23, 0x27, 0x2f, 0x32, 0x33, 0x37, 0x3f, 0x40, 0x41,
        0x42, 0x45, 0x47, 0x4a, 0x50, 0x51, 0x57, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x63, 0x65, 0x70, 0x77, 0x78,
        0x87, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9f, 0xa2, 0xb0, 0xb1, 0xb4, 0xb6,
        0xb7, 0xb9, 0xba, 0xbb, 0xc0, 0xc6, 0xd1, 0xda, 0xde, 0xdf, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6,
        0xe8, 0xe9, 0xeb, 0xed, 0xef, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf8, 0xf9};
    set(t, others, other, Form::none);
    set(t, {0x20, 0x21, 0xc4, 0xc8, 0xc9}, read, Form::lba28); // SECTORS, MULTIPLE, DMA (and "without retry")
    set(t, {0xc7}, read, Form::lba28_tagged);                  // DMA QUEUED
    set(t, {0x24, 0x25, 0x29, 0x2a, 0x2b}, read, Form::lba48); // EXT forms, STREAM
    set(t, {0x26}, read, Form::lba48_tagged);                  // DMA QUEUED EXT
    set(t, {0x60}, read, Form::fpdma);
    set(t, {0x30, 0x31, 0x38, 0x3c, 0xc5, 0xca, 0xcb, 0xcd}, write, Form::lba28); // also WRITE VERIFY, CFA forms
    set(t, {0xcc}, write, Form::lba28_tagged);
    set(t, {0x34, 0x35, 0x39, 0x3a, 0x3b}, write, Form::lba48);
    set(t, {0x3d, 0xce}, write, Form::lba48, true); // DMA FUA EXT, MULTIPLE FUA EXT
    set(t, {0x36}, write, Form::lba48_tagged);
    set(t, {0x3e}, write, Form::lba48_tagged, true);
    set(t, {0x61}, write, Form::fpdma);
    set(t, {0xe7, 0xea}, flush, Form::none);
    set(t, {0x06}, trim, Form::range_blocks);
    set(t, {0x64}, trim, Form::fpdma_send);
    set(t, {0x44}, zero, Form::lba48);
    set(t, {0xec}, identify, Form::none);
    set(t, {0xa0, 0xa1}, packet, Form::none);
    return t;
}

constexpr OpcodeTable opcodes = make_table();

/// Of the others: DATA SET MANAGEMENT without TRIM, WRITE UNCORRECTABLE, FORMAT TRACK, NCQ NON-DATA (it can zero), SEND
/// FPDMA QUEUED, ZAC MANAGEMENT OUT, SANITIZE DEVICE, CFA ERASE SECTORS, SECURITY ERASE PREPARE and UNIT.
constexpr std::uint8_t erasing_opcodes[] = {0x06, 0x45, 0x50, 0x63, 0x64, 0x9f, 0xb4, 0xc0, 0xf3, 0xf4};

std::uint32_t count_of(std::uint32_t field, std::uint32_t when_zero)
{
    return field == 0 ? when_zero : field;
}

std::uint32_t features16(CommandFis const& f)
{
    return f[3] | static_cast<std::uint32_t>(f[11]) << 8;
}
std::uint32_t count16(CommandFis const& f)
{
    return f[12] | static_cast<std::uint32_t>(f[13]) << 8;
}

std::uint64_t lba48(CommandFis const& f)
{
    std::uint64_t const low = f[4] | static_cast<std::uint32_t>(f[5]) << 8 | static_cast<std::uint32_t>(f[6]) << 16;
    std::uint64_t const high = f[8] | static_cast<std::uint32_t>(f[9]) << 8 | static_cast<std::uint32_t>(f[10]) << 16;
    return low | high << 24;
}

void address28(CommandFis const& f, Geometry geometry, Command& command)
{
    std::uint32_t const cylinder_or_middle = f[5] | static_cast<std::uint32_t>(f[6]) << 8;
    std::uint32_t const head_or_top = f[7] & 0xfU;
    if ((f[7] & device_lba) != 0) {
        command.lba = f[4] | cylinder_or_middle << 8 | head_or_top << 24;
        return;
    }
    command.address_known = geometry.heads != 0 && geometry.sectors_per_track != 0 && f[4] != 0;
    if (command.address_known)
        command.lba = (static_cast<std::uint64_t>(cylinder_or_middle) * geometry.heads + head_or_top) *
                          geometry.sectors_per_track +
                      f[4] - 1U;
}

void send_fpdma(CommandFis const& f, Command& command)
{
    // Count 12:8 is the subcommand (0: DATA SET MANAGEMENT), auxiliary bit 0 is TRIM, Features the length.
    bool const is_trim = (f[13] & 0x1fU) == 0 && (f[16] & 1U) != 0;
    command.operation = is_trim ? Operation::trim : Operation::other;
    command.sectors = is_trim ? count_of(features16(f), 65536) : 0;
    command.queued = true;
}

void fill_form(CommandFis const& f, Form form, Geometry geometry, Command& command)
{
    switch (form) {
    case Form::none:
        break;
    case Form::lba28:
        address28(f, geometry, command);
        command.sectors = count_of(f[12], 256);
        break;
    case Form::lba28_tagged:
        address28(f, geometry, command);
        command.sectors = count_of(f[3], 256);
        break;
    case Form::lba48:
        command.lba = lba48(f);
        command.sectors = count_of(count16(f), 65536);
        break;
    case Form::lba48_tagged:
        command.lba = lba48(f);
        command.sectors = count_of(features16(f), 65536);
        break;
    case Form::fpdma:
        command.lba = lba48(f);
        command.sectors = count_of(features16(f), 65536);
        command.queued = true;
        command.forced_unit_access = (f[7] & device_fua) != 0;
        break;
    case Form::range_blocks:
        command.sectors = count16(f);
        if ((f[3] & 1U) == 0) // not TRIM
            command.operation = Operation::other;
        break;
    case Form::fpdma_send:
        send_fpdma(f, command);
        break;
    }
}

} // namespace

Command parse_command(CommandFis const& fis, Geometry geometry)
{
    Command command;
    if (fis[0] != host_to_device)
        return command;
    if ((fis[1] & is_command) == 0) {
        command.operation = (fis[15] & software_reset) != 0 ? Operation::reset : Operation::other;
        return command;
    }
    Opcode const opcode = opcodes[fis[2]];
    command.operation = opcode.operation;
    command.opcode = fis[2];
    command.forced_unit_access = opcode.forced_unit_access;
    fill_form(fis, opcode.form, geometry, command);
    return command;
}

bool may_change_medium(Command const& command)
{
    switch (command.operation) {
    case Operation::write:
    case Operation::trim:
    case Operation::zero:
    case Operation::unknown:
        return true;
    case Operation::other:
        return std::ranges::find(erasing_opcodes, command.opcode) != std::ranges::end(erasing_opcodes);
    default:
        return false;
    }
}

} // namespace undercroft::ata
