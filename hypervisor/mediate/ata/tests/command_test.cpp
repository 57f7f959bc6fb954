// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Expectations are from the ATA/ATAPI command tables (ACS-4, ATA8-ACS, ATA/ATAPI-7), field by field.
#include "hypervisor/mediate/ata/command.hpp"

#include <gtest/gtest.h>

namespace undercroft::ata {
namespace {

CommandFis fis(std::initializer_list<unsigned> bytes)
{
    CommandFis result{};
    std::size_t i = 0;
    for (unsigned b : bytes)
        result[i++] = static_cast<std::uint8_t>(b);
    return result;
}

// type, C, command, features | lba 0-2, device | lba 3-5, features+ | count, count+, icc, control
constexpr unsigned f0 = 0x27;

TEST(Command, Lba28FormsTakeTopNibbleFromDevice)
{
    for (unsigned opcode : {0x20U, 0x21U, 0xc4U, 0xc8U, 0xc9U}) {
        Command const c =
            parse_command(fis({f0, 0x80, opcode, 0, 0x78, 0x56, 0x34, 0x42, 0xff, 0xff, 0xff, 0xff, 9}), {});
        EXPECT_EQ(c.operation, Operation::read) << opcode;
        EXPECT_EQ(c.lba, 0x2345678U) << opcode;
        EXPECT_EQ(c.sectors, 9U) << opcode;
        EXPECT_FALSE(c.queued);
    }
    for (unsigned opcode : {0x30U, 0x31U, 0x38U, 0x3cU, 0xc5U, 0xcaU, 0xcbU, 0xcdU}) {
        Command const c = parse_command(fis({f0, 0x80, opcode, 0, 1, 0, 0, 0xef, 9, 9, 9, 9, 0}), {});
        EXPECT_EQ(c.operation, Operation::write) << opcode;
        EXPECT_EQ(c.lba, 0xf000001U) << opcode;
        EXPECT_EQ(c.sectors, 256U) << opcode << ": count 0 is 256";
    }
}

TEST(Command, Lba48Forms)
{
    struct Case {
        unsigned opcode;
        Operation operation;
        bool fua;
    };
    using enum Operation;
    for (Case const c : {Case{0x24, read, false},
                         {0x25, read, false},
                         {0x29, read, false},
                         {0x2a, read, false},
                         {0x2b, read, false},
                         {0x34, write, false},
                         {0x35, write, false},
                         {0x39, write, false},
                         {0x3a, write, false},
                         {0x3b, write, false},
                         {0x3d, write, true},
                         {0xce, write, true},
                         {0x44, zero, false}}) {
        Command const p =
            parse_command(fis({f0, 0x80, c.opcode, 0, 0x11, 0x22, 0x33, 0x40, 0x44, 0x55, 0x66, 0, 0x34, 0x12}), {});
        EXPECT_EQ(p.operation, c.operation) << c.opcode;
        EXPECT_EQ(p.lba, 0x665544332211U) << c.opcode;
        EXPECT_EQ(p.sectors, 0x1234U) << c.opcode;
        EXPECT_EQ(p.forced_unit_access, c.fua) << c.opcode;
        Command const full = parse_command(fis({f0, 0x80, c.opcode, 7, 1, 0, 0, 0x40, 0, 0, 0, 7, 0, 0}), {});
        EXPECT_EQ(full.sectors, 65536U) << c.opcode << ": count 0 is 65,536";
    }
}

TEST(Command, QueuedFormsKeepTheCountInFeatures)
{
    Command const w =
        parse_command(fis({f0, 0x80, 0x61, 0x08, 0x00, 0x08, 0x00, 0xc0, 0, 0, 0, 0x01, 0xf8, 0, 0, 0}), {});
    EXPECT_EQ(w.operation, Operation::write);
    EXPECT_EQ(w.lba, 0x800U);
    EXPECT_EQ(w.sectors, 0x108U);
    EXPECT_TRUE(w.queued);
    EXPECT_TRUE(w.forced_unit_access);
    Command const r = parse_command(fis({f0, 0x80, 0x60, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 0x08}), {});
    EXPECT_EQ(r.operation, Operation::read);
    EXPECT_EQ(r.sectors, 65536U);
    EXPECT_FALSE(r.forced_unit_access);
}

TEST(Command, LegacyTaggedFormsKeepTheCountInFeatures)
{
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0xc7, 3, 1, 0, 0, 0x40, 0, 0, 0, 0, 0x28}), {}).sectors, 3U);
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0xcc, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 0x28}), {}).sectors, 256U);
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0x26, 3, 1, 0, 0, 0x40, 0, 0, 0, 1, 0x28}), {}).sectors, 0x103U);
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0x36, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 0x28}), {}).sectors, 65536U);
    Command const fua = parse_command(fis({f0, 0x80, 0x3e, 5, 1, 0, 0, 0x40, 0, 0, 0, 0, 0x28}), {});
    EXPECT_EQ(fua.operation, Operation::write);
    EXPECT_TRUE(fua.forced_unit_access);
}

TEST(Command, CylinderHeadSector)
{
    // 16 heads, 63 sectors: C 2, H 3, S 4 is (2 * 16 + 3) * 63 + 3 = 2208.
    CommandFis const read = fis({f0, 0x80, 0xc8, 0, 4, 2, 0, 0xa3, 0, 0, 0, 0, 1});
    Command const known = parse_command(read, {16, 63});
    EXPECT_TRUE(known.address_known);
    EXPECT_EQ(known.lba, 2208U);
    EXPECT_FALSE(parse_command(read, {}).address_known);
    EXPECT_FALSE(parse_command(fis({f0, 0x80, 0xc8, 0, 0, 2, 0, 0xa3, 0, 0, 0, 0, 1}), {16, 63}).address_known)
        << "sectors count from 1";
}

TEST(Command, TrimNeedsItsBit)
{
    Command const dsm = parse_command(fis({f0, 0x80, 0x06, 1, 0, 0, 0, 0x40, 0, 0, 0, 0, 2, 0}), {});
    EXPECT_EQ(dsm.operation, Operation::trim);
    EXPECT_EQ(dsm.sectors, 2U);
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0x06, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 2, 0}), {}).operation, Operation::other);
    // SEND FPDMA QUEUED as Linux's ata_scsi_unmap_xlat: hob_nsect = 0, auxiliary = 1, Features = blocks
    Command const sent = parse_command(fis({f0, 0x80, 0x64, 1, 0, 0, 0, 0x40, 0, 0, 0, 0, 0x18, 0, 0, 0, 1}), {});
    EXPECT_EQ(sent.operation, Operation::trim);
    EXPECT_EQ(sent.sectors, 1U);
    EXPECT_TRUE(sent.queued);
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0x64, 1, 0, 0, 0, 0x40, 0, 0, 0, 0, 0x18, 2, 0, 0, 1}), {}).operation,
              Operation::other)
        << "zone management";
    EXPECT_EQ(parse_command(fis({f0, 0x80, 0x64, 1, 0, 0, 0, 0x40, 0, 0, 0, 0, 0x18, 0, 0, 0, 0}), {}).operation,
              Operation::other);
}

TEST(Command, KindsWithoutSectorData)
{
    using enum Operation;
    struct Case {
        unsigned opcode;
        Operation operation;
    };
    for (Case const c :
         {Case{0xe7, flush}, {0xea, flush},   {0xec, identify}, {0xa0, packet}, {0xa1, packet}, {0x2f, other},
          {0x47, other},     {0x3f, other},   {0x57, other},    {0x40, other},  {0x42, other},  {0x45, other},
          {0x63, other},     {0x65, other},   {0xb0, other},    {0xe0, other},  {0xe6, other},  {0xef, other},
          {0x00, other},     {0x80, unknown}, {0xfe, unknown},  {0xff, unknown}})
        EXPECT_EQ(parse_command(fis({f0, 0x80, c.opcode, 0, 0, 0, 0, 0x40}), {}).operation, c.operation) << c.opcode;
}

TEST(Command, ControlFisAndForeignTypes)
{
    EXPECT_EQ(parse_command(fis({f0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4}), {}).operation, Operation::reset);
    EXPECT_EQ(parse_command(fis({f0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), {}).operation, Operation::other);
    EXPECT_EQ(parse_command(fis({0x34, 0x80, 0x35}), {}).operation, Operation::unknown);
    // Multiplier port 3 in byte 1 does not disturb the C bit.
    EXPECT_EQ(parse_command(fis({f0, 0x83, 0x35, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1}), {}).operation, Operation::write);
}

} // namespace
} // namespace undercroft::ata
