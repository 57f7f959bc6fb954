// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Tables and register values that only an attacker writes.
#include "hypervisor/mediate/ahci/tests/log_capture.hpp"
#include "hypervisor/mediate/ahci/tests/machine.hpp"

namespace undercroft::ahci::fake {
namespace {

using Id = wire::CounterId;

class Hostile : public Machine {
protected:
    static constexpr std::uint64_t sensor = Memory::sensor_begin + 0x1000;
    /// Nothing of slot 0 was forwarded.
    void expect_refused()
    {
        EXPECT_EQ(hba.at(0, px::ci), 0U);
        EXPECT_TRUE(observer.commands.empty());
        EXPECT_EQ(counter(Id::ahci_refused_dma), 1U);
        EXPECT_EQ(mediator.outstanding(0), 0U);
    }
};

TEST_F(Hostile, PrdtAimedAtTheSensorIsNotForwarded)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 16}, {{0x100000, 4096}, {sensor, 4096}});
    reg(0, px::ci, 1);
    expect_refused();
}

TEST_F(Hostile, LastBytesOfAnEntryCount)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{Memory::sensor_begin - 4094, 4096}});
    reg(0, px::ci, 1);
    expect_refused();
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{Memory::sensor_begin - 4096, 4096}});
    reg(0, px::ci, 1);
    EXPECT_EQ(hba.at(0, px::ci), 1U);
}

TEST_F(Hostile, ReservedBitsDoNotHideAnAddress)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{Memory::sensor_end - 1, 4096}}); // bit 0 is ignored
    reg(0, px::ci, 1);
    expect_refused();
}

TEST_F(Hostile, UpperHalvesThatA32BitHbaIgnoresDoNotHideAnAddress)
{
    hba.at(hba::cap) &= ~hba::cap_64_bit;
    mediator.adopt();
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{0x700000000 + sensor, 4096}});
    reg(0, px::ci, 1);
    expect_refused();
}

TEST_F(Hostile, WrappingEntryIsRefused)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{0xfffffffffffff000, 8192}});
    reg(0, px::ci, 1);
    expect_refused();
}

TEST_F(Hostile, OtherSlotsOfTheSameWritePass)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{sensor, 4096}});
    build(0, 1, {.command = 0x25, .lba = 2, .count = 8}, {{0x100000, 4096}});
    reg(0, px::ci, 3);
    EXPECT_EQ(hba.at(0, px::ci), 2U);
    EXPECT_EQ(mediator.outstanding(0), 2U);
}

TEST_F(Hostile, CommandTableOutsideRamOrInTheSensor)
{
    for (std::uint64_t at : {0xf0000000ULL, 0xffffffffffffff80ULL, static_cast<unsigned long long>(sensor),
                             static_cast<unsigned long long>(Memory::sensor_begin - 128), 0x20001ULL}) {
        build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{0x100000, 4096}});
        memory.put<std::uint64_t>(list(0) + 8, at);
        reg(0, px::ci, 1);
        EXPECT_EQ(hba.at(0, px::ci), 0U) << std::hex << at;
    }
    EXPECT_EQ(counter(Id::ahci_refused_dma), 5U);
    EXPECT_EQ(counter(Id::ahci_bad_table), 5U);
}

TEST_F(Hostile, TableAtTheVeryEndOfRamIsReadToItsLastEntry)
{
    std::uint64_t const at = Memory::ram_bytes - 128 - 8 * 16; // eight entries fit
    header(0, 0, 5, 65535);
    memory.put<std::uint64_t>(list(0) + 8, at);
    std::uint8_t const fis_bytes[] = {0x27, 0x80, 0x35, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 8, 0};
    std::fill_n(memory.raw(at), 256, std::byte{0});
    std::memcpy(memory.raw(at), fis_bytes, sizeof(fis_bytes));
    for (unsigned i = 0; i < 8; ++i) {
        memory.put<std::uint64_t>(at + 128 + i * 16, 0x100000 + i * 0x1000);
        memory.put<std::uint64_t>(at + 136 + i * 16, 511ULL << 32);
    }
    reg(0, px::ci, 1); // the device needs eight entries and all were read
    EXPECT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(hba.at(0, px::ci), 1U);
    hba.complete(0, 1);
    memory.raw(at)[12] = std::byte{9}; // it needs a ninth
    reg(0, px::ci, 1);
    EXPECT_EQ(hba.at(0, px::ci), 0U);
    EXPECT_EQ(counter(Id::ahci_refused_dma), 1U);
}

TEST_F(Hostile, CommandListAimedAtTheSensorKeepsThePortStopped)
{
    reg(0, px::cmd, px::cmd_fis_receive);
    reg(0, px::clb, static_cast<std::uint32_t>(sensor)); // half an address: passes while stopped
    EXPECT_EQ(hba.at(0, px::clb), sensor);
    reg(0, px::cmd, px::cmd_fis_receive | px::cmd_start);
    EXPECT_EQ(hba.at(0, px::cmd) & px::cmd_start, 0U);
    EXPECT_EQ(counter(Id::ahci_refused_dma), 1U);
    reg(0, px::clb, static_cast<std::uint32_t>(list(0)));
    reg(0, px::cmd, px::cmd_fis_receive | px::cmd_start);
    EXPECT_EQ(hba.at(0, px::cmd) & px::cmd_start, 1U);
}

TEST_F(Hostile, BaseAddressesOfARunningPortStayWhenAimedAtTheSensor)
{
    reg(0, px::clb, static_cast<std::uint32_t>(sensor));
    reg(0, px::fb, static_cast<std::uint32_t>(sensor));
    mediator.write(offset(0, px::clb) + 2, 2, Memory::sensor_begin >> 16);
    EXPECT_EQ(hba.at(0, px::clb), list(0));
    EXPECT_EQ(hba.at(0, px::fb), received(0));
    EXPECT_EQ(counter(Id::ahci_refused_dma), 3U);
}

TEST_F(Hostile, ReceivedFisAreaInTheSensor)
{
    reg(0, px::cmd, 0);
    reg(0, px::fb, static_cast<std::uint32_t>(sensor));
    reg(0, px::cmd, px::cmd_fis_receive);
    EXPECT_EQ(hba.at(0, px::cmd), 0U);
    reg(0, px::fb, static_cast<std::uint32_t>(Memory::sensor_begin - 256)); // fits without FIS-based switching
    reg(0, px::cmd, px::cmd_fis_receive);
    EXPECT_EQ(hba.at(0, px::cmd), px::cmd_fis_receive);
    reg(0, px::fbs, px::fbs_enable);
    EXPECT_EQ(hba.at(0, px::fbs), 0U);
    EXPECT_EQ(counter(Id::ahci_refused_dma), 2U);
}

TEST_F(Hostile, LongestPrdtIsBoundedByTheSectorCount)
{
    // The table lies in low RAM: 65,535 entries of 4 MiB each, all at the same page.
    std::uint64_t const at = 0x300000;
    header(0, 0, 5 | write_bit, 65535);
    memory.put<std::uint64_t>(list(0) + 8, at);
    std::memset(memory.raw(at), 0, 128);
    std::uint8_t const fis_bytes[] = {0x27, 0x80, 0x35, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 0, 0}; // 65,536 sectors
    std::memcpy(memory.raw(at), fis_bytes, sizeof(fis_bytes));
    for (unsigned i = 0; i < 57000; ++i) // up to the sensor at 4 MiB
        memory.put<std::uint64_t>(at + 128 + i * 16ULL, 0x100000),
            memory.put<std::uint64_t>(at + 136 + i * 16ULL, 0x1ffULL << 32);
    observer.keep_data = false;
    reg(0, px::ci, 1);
    EXPECT_EQ(hba.at(0, px::ci), 0U) << "the table runs into the sensor and its 57,000 * 512 bytes do not suffice";
    header(0, 0, 5 | write_bit, 57000);
    memory.put<std::uint64_t>(list(0) + 8, at);
    memory.raw(at)[12] = std::byte{0x10}; // 16 sectors
    reg(0, px::ci, 1);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].bytes, 16 * 512U);
    EXPECT_EQ(observer.commands[0].extents, 16U);
}

TEST_F(Hostile, EveryByteOfATableIsReadOnceAtIssue)
{
    fill(0x100000, 4096, 3);
    fill(0x200000, 4096, 4);
    build_ncq(0, 7, true, 0x77, 16, {{0x100000, 4096}, {0x200000, 4096}});
    std::vector<std::byte> expected = bytes_at(0x100000, 4096);
    auto const second = bytes_at(0x200000, 4096);
    expected.insert(expected.end(), second.begin(), second.end());
    // Whatever was looked at before turns to rubbish with each further look.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> before;
    memory.on_access = [&](Gpa at, std::uint64_t bytes) {
        for (auto const& [begin, n] : before) {
            EXPECT_TRUE(at.value >= begin + n || at.value + bytes <= begin) << "read twice: " << std::hex << at.value;
            std::memset(memory.raw(begin), 0xee, n);
        }
        before.emplace_back(at.value, bytes);
    };
    issue_ncq(0, 1U << 7);
    memory.on_access = nullptr;
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 0x77U);
    EXPECT_EQ(observer.commands[0].data, expected);
    hba.complete(0, 1U << 7);
    reg(0, px::is, 8);
    EXPECT_EQ(counter(Id::ahci_table_changed), 1U);
}

TEST_F(Hostile, EditsAfterIssueAreFoundWhereverTheyAre)
{
    struct Edit {
        std::uint64_t at;
        std::uint8_t bits;
        bool harmless;
    };
    std::uint64_t const t = table(0, 0);
    for (Edit const e : {Edit{list(0), 0x40, false},
                         {list(0) + 2, 1, false},
                         {list(0) + 9, 0x80, false},
                         {list(0) + 4, 0xff, true}, // PRDBC is the HBA's
                         {list(0) + 32, 0xff, true},
                         {t + 2, 1, false},
                         {t + 12, 0x10, false},
                         {t + 19, 1, false},
                         {t + 20, 1, true}, // past CFL
                         {t + 0x80, 2, false},
                         {t + 0x8c, 2, false},
                         {t + 0x90 + 12, 1, false},
                         {t + 0xa0, 1, true}}) {
        build_ncq(0, 0, true, 1, 2, {{0x100000, 512}, {0x101000, 512}});
        issue_ncq(0, 1);
        memory.raw(e.at)[0] ^= std::byte{e.bits};
        std::uint64_t const before = counter(Id::ahci_table_changed);
        hba.complete(0, 1);
        reg(0, px::is, 8);
        EXPECT_EQ(counter(Id::ahci_table_changed) - before, e.harmless ? 0U : 1U) << std::hex << e.at;
        memory.raw(e.at)[0] ^= std::byte{e.bits};
    }
}

TEST_F(Hostile, LogIsNotFlooded)
{
    build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{sensor, 4096}});
    std::uint64_t const before = log_lines;
    for (int i = 0; i < 10000; ++i)
        reg(0, px::ci, 1);
    EXPECT_EQ(counter(Id::ahci_refused_dma), 10000U);
    EXPECT_LT(log_lines - before, 25U);
}

TEST_F(Hostile, FisLengthsOutOfRange)
{
    for (unsigned length : {0U, 1U, 17U, 31U}) {
        build(0, 0, {.command = 0x25, .lba = 1, .count = 8}, {{0x100000, 4096}}, length);
        reg(0, px::ci, 1);
        hba.complete(0, 1);
    }
    EXPECT_EQ(counter(Id::ahci_bad_table), 4U);
    EXPECT_EQ(counter(Id::ahci_commands_unknown), 1U) << "no byte of the FIS is sent with length 0";
}

TEST_F(Hostile, EvenDbcIsCounted)
{
    build(0, 0, {.command = 0x35, .lba = 1, .count = 1}, {{0x100000, 511}}, 5 | write_bit);
    reg(0, px::ci, 1);
    EXPECT_EQ(counter(Id::ahci_bad_table), 1U);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].bytes, 512U);
}

} // namespace
} // namespace undercroft::ahci::fake
