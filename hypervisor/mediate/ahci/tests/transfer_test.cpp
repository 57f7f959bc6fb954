// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Commands as drivers build them, from table to DiskCommand.
#include "hypervisor/mediate/ahci/tests/machine.hpp"

namespace undercroft::ahci::fake {
namespace {

using Id = wire::CounterId;

class Transfers : public Machine {
protected:
    std::vector<std::uint8_t> identify(std::uint32_t sector_bytes, std::uint64_t sectors)
    {
        std::vector<std::uint8_t> d(512);
        auto const word = [&](unsigned i, unsigned v) {
            d[2 * i] = static_cast<std::uint8_t>(v);
            d[2 * i + 1] = static_cast<std::uint8_t>(v >> 8);
        };
        word(0, 0x0040);
        word(1, 16383);
        word(3, 16);
        word(6, 63);
        text(d, 10, 20, "SER-0042");
        text(d, 27, 40, "UNDERCROFT TEST DISK");
        word(53, 1);
        word(55, 16);
        word(56, 63);
        word(60, 0xffff);
        word(61, 0x0fff);
        word(83, 0x4400);
        for (unsigned i = 0; i < 4; ++i)
            word(100 + i, static_cast<unsigned>(sectors >> 16 * i & 0xffff));
        if (sector_bytes != 512) {
            word(106, 0x5000);
            word(117, sector_bytes / 2 & 0xffff);
            word(118, sector_bytes / 2 >> 16);
        }
        unsigned sum = 0xa5;
        for (unsigned i = 0; i < 510; ++i)
            sum += d[i];
        word(255, 0xa5 | (0x100 - (sum & 0xff)) << 8);
        return d;
    }
    static void text(std::vector<std::uint8_t>& d, unsigned word, unsigned bytes, std::string s)
    {
        s.resize(bytes, ' ');
        for (unsigned i = 0; i < bytes; ++i)
            d[2 * word + (i ^ 1)] = static_cast<std::uint8_t>(s[i]);
    }
    void run_identify(std::vector<std::uint8_t> const& answer, std::vector<Piece> const& pieces = {{0x110000, 512}})
    {
        build(0, 0, {.command = 0xec, .device = 0}, pieces);
        reg(0, px::ci, 1);
        std::size_t done = 0;
        for (Piece const& p : pieces) {
            std::memcpy(memory.raw(p.address), answer.data() + done,
                        std::min<std::size_t>(p.bytes, answer.size() - done));
            done += p.bytes;
        }
        hba.complete(0, 1);
        reg(0, px::is, 0x20);
    }
};

/// Linux 6.1, ahci_qc_prep with CMD_FL 5 and prefetch off: READ DMA EXT of 8 sectors into two pages.
TEST_F(Transfers, LinuxReadDmaExtFromGoldenBytes)
{
    constexpr std::uint8_t table_bytes[] = {0x27, 0x80, 0x25, 0x00, 0x00, 0x08, 0x00, 0xe0, 0x00, 0x00,
                                            0x00, 0x00, 0x08, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00};
    constexpr std::uint8_t prdt_bytes[] = {0x00, 0x00, 0x10, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x07, 0, 0,
                                           0x00, 0x40, 0x10, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x07, 0, 0};
    constexpr std::uint8_t header_bytes[] = {0x05, 0x00, 0x02, 0x00, 0, 0, 0, 0, 0x00, 0x00, 0x02, 0, 0, 0, 0, 0};
    std::memcpy(memory.raw(list(0)), header_bytes, sizeof(header_bytes));
    std::memcpy(memory.raw(0x20000), table_bytes, sizeof(table_bytes));
    std::memcpy(memory.raw(0x20080), prdt_bytes, sizeof(prdt_bytes));
    reg(0, px::ci, 1);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.kind, wire::Kind::storage_read);
    EXPECT_EQ(observer.commands[0].command.lba.value, 2048U);
    EXPECT_EQ(observer.commands[0].command.bytes, 4096U);
    EXPECT_EQ(counter(Id::ahci_commands_read), 1U);
    EXPECT_EQ(counter(Id::ahci_bad_table), 0U);
}

TEST_F(Transfers, ScatteredWriteGathersInOrder)
{
    std::vector<Piece> pieces;
    std::vector<std::byte> expected;
    for (unsigned i = 0; i < 168; ++i) { // AHCI_MAX_SG of Linux
        std::uint64_t const at = 0x200000 + (i * 37 % 168) * 0x1000ULL + 2 * i;
        pieces.push_back({at, 512});
        fill(at, 512, i);
        auto const part = bytes_at(at, 512);
        expected.insert(expected.end(), part.begin(), part.end());
    }
    build_ncq(0, 31, true, 0x123456789a, 168, pieces);
    issue_ncq(0, 1U << 31);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 0x123456789aU);
    EXPECT_EQ(observer.commands[0].data, expected);
}

TEST_F(Transfers, PrdtLongerThanTheCommandIsNotFollowed)
{
    build(0, 0, {.command = 0x35, .lba = 1, .count = 3}, {{0x100000, 4U << 20 >> 2}}, 5 | write_bit);
    reg(0, px::ci, 1);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].bytes, 3 * 512U);
    EXPECT_EQ(counter(Id::ahci_bad_table), 0U);
}

TEST_F(Transfers, PrdtShorterThanTheCommandIsCounted)
{
    build(0, 0, {.command = 0x35, .lba = 1, .count = 3}, {{0x100000, 512}}, 5 | write_bit);
    reg(0, px::ci, 1);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.bytes, 1536U);
    EXPECT_EQ(observer.commands[0].bytes, 512U);
    EXPECT_EQ(counter(Id::ahci_bad_table), 1U);
}

TEST_F(Transfers, FlushIsOneCommandWithoutLength)
{
    for (unsigned opcode : {0xe7U, 0xeaU}) {
        build(0, 0, {.command = static_cast<std::uint8_t>(opcode), .lba = 5, .count = 9}, {});
        reg(0, px::ci, 1);
        hba.complete(0, 1);
        reg(0, px::is, 1);
    }
    ASSERT_EQ(observer.commands.size(), 2U);
    EXPECT_EQ(observer.commands[1].command.kind, wire::Kind::storage_flush);
    EXPECT_EQ(observer.commands[1].command.bytes, 0U);
    EXPECT_EQ(observer.commands[1].command.lba.value, 0U);
    EXPECT_EQ(counter(Id::ahci_commands_flush), 2U);
}

TEST_F(Transfers, TrimGivesOneCommandPerRange)
{
    std::fill_n(memory.raw(0x100000), 1024, std::byte{0});
    memory.put<std::uint64_t>(0x100000, 0x0008000000001000);       // 8 sectors at 0x1000
    memory.put<std::uint64_t>(0x100008, 0xffff123456789abc);       // 65,535 sectors
    memory.put<std::uint64_t>(0x100010, 0x0000000000002000);       // empty
    memory.put<std::uint64_t>(0x100000 + 512, 0x0001000000000007); // second block
    build(0, 0, {.command = 0x06, .features = 1, .count = 2}, {{0x100000, 256}, {0x100100, 768}}, 5 | write_bit);
    reg(0, px::ci, 1);
    ASSERT_EQ(observer.commands.size(), 3U);
    EXPECT_EQ(observer.commands[0].command.kind, wire::Kind::storage_trim);
    EXPECT_EQ(observer.commands[0].command.lba.value, 0x1000U);
    EXPECT_EQ(observer.commands[0].command.bytes, 4096U);
    EXPECT_EQ(observer.commands[1].command.lba.value, 0x123456789abcU);
    EXPECT_EQ(observer.commands[1].command.bytes, 65535U * 512);
    EXPECT_EQ(observer.commands[2].command.lba.value, 7U);
    EXPECT_EQ(counter(Id::ahci_commands_trim), 1U);
    EXPECT_EQ(counter(Id::ahci_bad_table), 0U);
}

TEST_F(Transfers, TrimWithUnreadableOrTooManyRangesIsCounted)
{
    memory.put<std::uint64_t>(0x100000, 0x0001000000000007);
    build(0, 0, {.command = 0x06, .features = 1, .count = 2}, {{0x100000, 512}, {0xf0000000, 512}}, 5 | write_bit);
    reg(0, px::ci, 1);
    EXPECT_EQ(counter(Id::ahci_bad_table), 1U);
    EXPECT_GE(observer.commands.size(), 1U);
    build(0, 1, {.command = 0x06, .features = 1, .count = 257}, {{0x100000, 257 * 512}}, 5 | write_bit);
    reg(0, px::ci, 2);
    EXPECT_EQ(counter(Id::ahci_bad_table), 2U);
}

TEST_F(Transfers, ZeroExtIsATrimOfItsRange)
{
    build(0, 0, {.command = 0x44, .lba = 640, .count = 64}, {});
    reg(0, px::ci, 1);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.kind, wire::Kind::storage_trim);
    EXPECT_EQ(observer.commands[0].command.bytes, 64U * 512);
}

TEST_F(Transfers, IdentifyIsReadWhenItHasEnded)
{
    run_identify(identify(512, 1000));
    ASSERT_EQ(observer.descriptions.size(), 1U);
    auto const& d = observer.descriptions[0];
    EXPECT_EQ(d.source, 0x300U);
    EXPECT_EQ(d.sector, 512U);
    EXPECT_EQ(d.capacity, 1000U);
    EXPECT_EQ(d.model, "UNDERCROFT TEST DISK                    ");
    EXPECT_EQ(d.serial, "SER-0042            ");
    EXPECT_TRUE(observer.commands.empty());
    EXPECT_EQ(counter(Id::ahci_commands_identify), 1U);
}

TEST_F(Transfers, IdentifyInPiecesAndFoundAtTheNextCommand)
{
    build(0, 0, {.command = 0xec, .device = 0}, {{0x110000, 100}, {0x120000, 412}});
    reg(0, px::ci, 1);
    auto const answer = identify(4096, 500);
    std::memcpy(memory.raw(0x110000), answer.data(), 100);
    std::memcpy(memory.raw(0x120000), answer.data() + 100, 412);
    hba.complete(0, 1); // a polling driver: no PxIS write
    build_ncq(0, 1, true, 10, 2, {{0x100000, 8192}});
    issue_ncq(0, 2);
    ASSERT_EQ(observer.descriptions.size(), 1U);
    EXPECT_EQ(observer.descriptions[0].capacity, 4000U);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 80U);
    EXPECT_EQ(observer.commands[0].command.bytes, 8192U);
}

/// OVMF's AtaAtapiPassThru clears ST after each command instead of waiting for an interrupt.
TEST_F(Transfers, IdentifyFoundWhenThePortStops)
{
    build(0, 0, {.command = 0xec, .device = 0}, {{0x110000, 512}});
    reg(0, px::ci, 1);
    auto const answer = identify(512, 9);
    std::memcpy(memory.raw(0x110000), answer.data(), 512);
    hba.complete(0, 1);
    reg(0, px::cmd, px::cmd_fis_receive);
    EXPECT_EQ(observer.descriptions.size(), 1U);
}

TEST_F(Transfers, SectorsOf4096BytesScaleAddressAndRanges)
{
    run_identify(identify(4096, 1 << 20));
    build_ncq(0, 1, true, 3, 1, {{0x100000, 4096}});
    issue_ncq(0, 2);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 24U);
    EXPECT_EQ(observer.commands[0].command.bytes, 4096U);
    std::fill_n(memory.raw(0x100000), 512, std::byte{0});
    memory.put<std::uint64_t>(0x100000, 0x0002000000000005);
    build(0, 2, {.command = 0x06, .features = 1, .count = 1}, {{0x100000, 512}}, 5 | write_bit);
    reg(0, px::ci, 4);
    ASSERT_EQ(observer.commands.size(), 2U);
    EXPECT_EQ(observer.commands[1].command.lba.value, 40U);
    EXPECT_EQ(observer.commands[1].command.bytes, 8192U);
}

TEST_F(Transfers, UnusableIdentifyDataChangesNothing)
{
    auto wrong_sum = identify(4096, 5);
    wrong_sum[200] ^= 1;
    run_identify(wrong_sum);
    auto packet_device = identify(4096, 5);
    packet_device[1] = 0x85;
    packet_device[511] = static_cast<std::uint8_t>(packet_device[511] - 0x85);
    run_identify(packet_device);
    EXPECT_TRUE(observer.descriptions.empty());
    build(0, 1, {.command = 0xc8, .lba = 3, .count = 1}, {{0x100000, 512}});
    reg(0, px::ci, 2);
    EXPECT_EQ(observer.commands.back().command.lba.value, 3U);
}

TEST_F(Transfers, ChsNeedsIdentify)
{
    build(0, 1, {.command = 0xc8, .lba = 0x000204, .count = 1, .device = 0xa3}, {{0x100000, 512}});
    reg(0, px::ci, 2);
    EXPECT_EQ(counter(Id::ahci_unknown_geometry), 1U);
    EXPECT_TRUE(observer.commands.empty());
    hba.complete(0, 2);
    run_identify(identify(512, 1000000));
    reg(0, px::ci, 2);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 2208U);
}

TEST_F(Transfers, KindsThatPassAreCounted)
{
    unsigned slot = 0;
    for (unsigned opcode : {0xa0U, 0xa1U, 0xb0U, 0x2fU, 0x40U, 0x80U, 0xffU}) {
        build(0, slot, {.command = static_cast<std::uint8_t>(opcode), .count = 1}, {{0x100000, 512}});
        reg(0, px::ci, 1U << slot++);
    }
    EXPECT_EQ(counter(Id::ahci_commands_packet), 2U);
    EXPECT_EQ(counter(Id::ahci_commands_other), 3U);
    EXPECT_EQ(counter(Id::ahci_commands_unknown), 2U);
    EXPECT_TRUE(observer.commands.empty());
    EXPECT_EQ(hba.at(0, px::ci), 0x7fU);
}

TEST_F(Transfers, FuaAndBeforeOsFlags)
{
    mediator.set_before_os(true);
    build(0, 0, {.command = 0x3d, .lba = 1, .count = 1}, {{0x100000, 512}}, 5 | write_bit);
    reg(0, px::ci, 1);
    mediator.set_before_os(false);
    build(0, 1, {.command = 0x61, .features = 1, .lba = 1, .count = 8, .device = 0xc0}, {{0x100000, 512}},
          5 | write_bit);
    issue_ncq(0, 2);
    ASSERT_EQ(observer.commands.size(), 2U);
    EXPECT_EQ(observer.commands[0].command.flags, wire::record_flag::forced_unit_access | wire::record_flag::before_os);
    EXPECT_EQ(observer.commands[1].command.flags, wire::record_flag::forced_unit_access | wire::record_flag::queued);
}

TEST_F(Transfers, BehindAMultiplierIsRecordedAndCounted)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 1}, {{0x100000, 512}}, 5 | 3U << 12);
    reg(0, px::ci, 1);
    EXPECT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(counter(Id::ahci_behind_multiplier), 1U);
}

} // namespace
} // namespace undercroft::ahci::fake
