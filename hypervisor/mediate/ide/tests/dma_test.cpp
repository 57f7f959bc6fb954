// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Transfers by the bus master. Expectations: Programming Interface for Bus Master IDE Controller 1.0, chapter 3.
#include "hypervisor/mediate/ide/tests/machine.hpp"

namespace undercroft::ide::fake {
namespace {

using Id = wire::CounterId;

class Dma : public Machine {
protected:
    observe::DiskCommand const& seen(std::size_t i) { return observer->commands.at(i).command; }
};

TEST_F(Dma, WriteAsLinuxDoesIt)
{
    fill(0x100000, 0x3000, 1);
    fill(0x200000, 0x1000, 2);
    put_table({{0x100000, 0x3000}, {0x200000, 0x1000}});
    std::vector<std::size_t> known;
    controller.on_commit = [&](std::uint64_t) { known.push_back(observer->commands.size()); };
    out(bm(0, 4), guest_table, 4);
    out(bm(0, 0), 0);
    send(0, {.opcode = 0xca, .lba = 0x1000, .count = 32});
    EXPECT_TRUE(observer->commands.empty()) << "nothing moves yet";
    out(bm(0, 0), 1);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(known.front(), 1U);
    EXPECT_EQ(seen(0).lba.value, 0x1000U);
    EXPECT_EQ(seen(0).bytes, 0x4000U);
    expect_replay(0);
    EXPECT_EQ(disk(0).sectors.size(), 32U);
    EXPECT_EQ(in(bm(0, 4), 4), guest_table) << "the guest finds its own table's address";
    EXPECT_EQ(controller.channels[0].bm_table, own_tables) << "the bus master has ours";
    EXPECT_EQ(status(0), 0x50);
    stop(0);
    EXPECT_EQ(counter(Id::ide_bad_table), 0U);
}

TEST_F(Dma, BusMasterFirst)
{
    fill(0x100000, 0x1000, 1);
    put_table({{0x100000, 0x1000}});
    start(1, false);
    EXPECT_TRUE(observer->commands.empty());
    send(1, {.opcode = 0x35, .lba = 0x200000000, .count = 8, .wide = true, .drive = 1});
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).source, 0x203U);
    expect_replay(1, 1);
}

TEST_F(Dma, AnEngineThatHasEndedDoesNotCountAsRunning)
{
    fill(0x100000, 0x1000, 1);
    fill(0x110000, 0x1000, 2);
    put_table({{0x100000, 0x1000}});
    start(0, false);
    send(0, {.opcode = 0xca, .count = 8});
    ASSERT_EQ(observer->commands.size(), 1U);
    // The start bit is still set, but the table is used up. Another one, started properly, comes later.
    put_table({{0x110000, 0x1000}});
    send(0, {.opcode = 0xca, .lba = 100, .count = 8});
    EXPECT_EQ(observer->commands.size(), 1U);
    stop(0);
    start(0, false);
    EXPECT_EQ(observer->commands.size(), 2U);
    expect_replay(0);
    EXPECT_EQ(counter(Id::ide_dma_restarted), 0U);
}

TEST_F(Dma, ReadIsAHeader)
{
    put_table({{0x100000, 0x2000}});
    out(bm(0, 4), guest_table, 4);
    send(0, {.opcode = 0x25, .lba = 77, .count = 16, .wide = true});
    start(0, true);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).kind, wire::Kind::storage_read);
    EXPECT_EQ(seen(0).lba.value, 77U);
    EXPECT_EQ(seen(0).bytes, 0x2000U);
}

TEST_F(Dma, ForcedUnitAccess)
{
    put_table({{0x100000, 0x1000}});
    send(0, {.opcode = 0x3d, .lba = 77, .count = 8, .wide = true});
    start(0, false);
    EXPECT_EQ(seen(0).flags, wire::record_flag::forced_unit_access);
}

TEST_F(Dma, TrimRanges)
{
    std::uint64_t const ranges[] = {8ULL << 48 | 100, 0, 1ULL << 48 | 0x123456789abc};
    std::memcpy(memory.raw(0x100000), ranges, sizeof(ranges));
    put_table({{0x100000, 0x200}});
    send(0, {.opcode = 0x06, .wide = true, .features = 1});
    start(0, false);
    ASSERT_EQ(observer->commands.size(), 2U);
    EXPECT_EQ(seen(0).kind, wire::Kind::storage_trim);
    EXPECT_EQ(seen(0).lba.value, 100U);
    EXPECT_EQ(seen(0).bytes, 4096U);
    EXPECT_EQ(seen(1).lba.value, 0x123456789abcU);
}

TEST_F(Dma, AShortTableGoesOnWithTheNextStart)
{
    fill(0x100000, 0x1000, 1);
    fill(0x200000, 0x1000, 2);
    put_table({{0x100000, 0x1000}});
    send(0, {.opcode = 0xca, .lba = 50, .count = 16});
    start(0, false);
    EXPECT_EQ(counter(Id::ide_bad_table), 1U);
    stop(0);
    put_table({{0x200000, 0x1000}});
    start(0, false);
    ASSERT_EQ(observer->commands.size(), 2U);
    EXPECT_EQ(seen(1).lba.value, 58U);
    EXPECT_EQ(seen(1).bytes, 0x1000U);
    expect_replay(0);
    EXPECT_EQ(disk(0).sectors.size(), 16U);
}

TEST_F(Dma, StoppedBeforeAnythingMovedAndStartedWithOtherData)
{
    controller.hold_dma = true;
    fill(0x100000, 0x1000, 1);
    fill(0x200000, 0x1000, 2);
    put_table({{0x100000, 0x1000}});
    send(0, {.opcode = 0xca, .lba = 50, .count = 8});
    start(0, false);
    stop(0);
    controller.hold_dma = false;
    put_table({{0x200000, 0x1000}});
    start(0, false);
    EXPECT_EQ(observer->commands.size(), 2U) << "recorded again: replay ends with what the disk has";
    EXPECT_EQ(counter(Id::ide_dma_restarted), 1U);
    expect_replay(0);
}

TEST_F(Dma, LinuxWriteTakesSoManyExits)
{
    put_table({{0x100000, 0x1000}});
    out(bm(0, 4), guest_table, 4);
    out(bm(0, 0), in(bm(0, 0)) & ~9U);
    send(0, {.opcode = 0xca, .count = 8});
    out(bm(0, 0), in(bm(0, 0)) | 1);
    in(bm(0, 2)); // interrupt: status of the bus master
    out(bm(0, 0), in(bm(0, 0)) & ~1U);
    status(0);
    out(bm(0, 2), 4);
    EXPECT_EQ(exits, 15U);
    EXPECT_EQ(accesses - exits, 2U);
}

TEST_F(Dma, PartsOfTheTableRegister)
{
    out(bm(0, 4), 0x5679, 2);
    out(bm(0, 6), 0x1234, 2);
    EXPECT_EQ(in(bm(0, 4), 4), 0x12345678U);
    EXPECT_EQ(in(bm(0, 5), 1), 0x56U);
}

} // namespace
} // namespace undercroft::ide::fake
