// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Register writes: followed, passed on unchanged, and in the right order with the observer.
#include "hypervisor/mediate/ahci/tests/machine.hpp"

namespace undercroft::ahci::fake {
namespace {

using Id = wire::CounterId;
using Store = Hba::Store;

class Registers : public Machine {};

TEST_F(Registers, NcqWriteIsObservedBeforeItIsForwarded)
{
    fill(0x100000, 4096, 1);
    build_ncq(0, 5, true, 0x1234, 8, {{0x100000, 4096}});
    std::size_t seen_at_store = 99;
    hba.on_store = [&](Store const& s) {
        if (s.offset == offset(0, px::ci))
            seen_at_store = observer.commands.size();
    };
    issue_ncq(0, 1U << 5);
    EXPECT_EQ(seen_at_store, 1U);
    EXPECT_EQ(hba.stores, (std::vector<Store>{{offset(0, px::sact), 4, 32}, {offset(0, px::ci), 4, 32}}));
    ASSERT_EQ(observer.commands.size(), 1U);
    auto const& seen = observer.commands[0];
    EXPECT_EQ(seen.command.kind, wire::Kind::storage_write);
    EXPECT_EQ(seen.command.lba.value, 0x1234U);
    EXPECT_EQ(seen.command.bytes, 4096U);
    EXPECT_EQ(seen.command.source, 3U << 8);
    EXPECT_EQ(seen.command.flags, wire::record_flag::queued);
    EXPECT_EQ(seen.data, bytes_at(0x100000, 4096));
    EXPECT_EQ(counter(Id::ahci_commands_write), 1U);
    EXPECT_EQ(mediator.outstanding(0), 32U);
}

TEST_F(Registers, ANcqCommandCostsNoBusReadButOneAtItsEnd)
{
    build_ncq(0, 0, true, 0, 8, {{0x100000, 4096}});
    issue_ncq(0, 1);
    EXPECT_TRUE(hba.loads.empty());
    hba.complete(0, 1);
    reg(0, px::is, 1);
    EXPECT_EQ(hba.loads, (std::vector<std::uint64_t>{offset(0, px::sact)}));
    mediator.write(hba::is, 4, 1);
    reg(0, px::is, 1); // nothing outstanding any more
    EXPECT_EQ(hba.loads.size(), 1U);
    EXPECT_EQ(mediator.outstanding(0), 0U);
    EXPECT_EQ(counter(Id::ahci_table_changed), 0U);
    EXPECT_EQ(hba.at(hba::is), 0U);
}

TEST_F(Registers, WriteOneToClearRegistersGetExactlyTheBitsWritten)
{
    hba.at(0, px::is) = 0xff;
    hba.at(0, 0x30) = 0xff0000;
    hba.at(hba::is) = 7;
    reg(0, px::is, 0x81);
    reg(0, 0x30, 0x10000);
    mediator.write(hba::is, 4, 2);
    EXPECT_EQ(hba.stores,
              (std::vector<Store>{{offset(0, px::is), 4, 0x81}, {offset(0, 0x30), 4, 0x10000}, {hba::is, 4, 2}}));
    EXPECT_EQ(hba.at(0, px::is), 0x7eU);
    EXPECT_EQ(hba.at(hba::is), 5U);
    EXPECT_TRUE(hba.loads.empty());
}

TEST_F(Registers, UnwatchedAndVendorRegistersPass)
{
    for (std::uint64_t at : {0x1cULL, 0x20ULL, 0x28ULL, 0xa0ULL, 0xc4ULL, 0x100 + 0x14ULL, 0x100 + 0x70ULL, 0x10f0ULL})
        mediator.write(at, 4, 0xabcd0001);
    EXPECT_EQ(hba.stores.size(), 8U);
    for (auto const& s : hba.stores)
        EXPECT_EQ(s.value, 0xabcd0001U);
    hba.at(0x24) = 0x55;
    EXPECT_EQ(mediator.read(0x24, 4), 0x55U);
}

TEST_F(Registers, EightByteWriteOfSactAndCiIsOneStore)
{
    build_ncq(0, 1, true, 7, 1, {{0x100000, 512}});
    // PxSACT is at 0x134: not 8-byte aligned, so the write falls apart into two.
    mediator.write(offset(0, px::sact), 8, 0x0000000200000002);
    EXPECT_EQ(hba.stores, (std::vector<Store>{{offset(0, px::sact), 4, 2}, {offset(0, px::ci), 4, 2}}));
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.flags, wire::record_flag::queued);
    EXPECT_EQ(counter(Id::ahci_odd_access), 1U);
    hba.stores.clear();
    build(0, 2, {.command = 0xc8, .lba = 9, .count = 1}, {{0x101000, 512}});
    mediator.write(offset(0, px::ci), 8, 4);
    EXPECT_EQ(hba.stores, (std::vector<Store>{{offset(0, px::ci), 8, 4}}));
    EXPECT_EQ(observer.commands.size(), 2U);
}

TEST_F(Registers, EightByteBaseAddress)
{
    reg(0, px::cmd, 0);
    hba.stores.clear();
    mediator.write(offset(0, px::clb), 8, 0x20000);
    EXPECT_EQ(hba.stores, (std::vector<Store>{{offset(0, px::clb), 8, 0x20000}}));
    EXPECT_EQ(hba.at(0, px::clb), 0x20000U);
}

TEST_F(Registers, ByteWriteOfCiIssuesOnlyItsSlots)
{
    build(0, 9, {.command = 0xca, .lba = 3, .count = 1}, {{0x100000, 512}}, 5 | write_bit);
    mediator.write(offset(0, px::ci) + 1, 1, 2);
    EXPECT_EQ(hba.stores, (std::vector<Store>{{offset(0, px::ci) + 1, 1, 2}}));
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 3U);
    EXPECT_EQ(mediator.outstanding(0), 1U << 9);
}

TEST_F(Registers, StraddlingWritesReachEveryRegister)
{
    mediator.write(offset(0, 0x7e), 4, 0xaabbccdd); // two bytes of port 0, two of port 1's PxCLB
    EXPECT_EQ(hba.at(0, 0x7c) >> 16, 0xccddU);
    EXPECT_EQ(hba.stores.size(), 2U);
    EXPECT_EQ(counter(Id::ahci_odd_access), 3U); // the write, and its two halves
}

TEST_F(Registers, IndexDataPairIsTheSameRoad)
{
    build(0, 0, {.command = 0xc8, .lba = 77, .count = 2}, {{0x100000, 1024}});
    mediator.index_data_write(0, 4, static_cast<std::uint32_t>(offset(0, px::ci)));
    EXPECT_EQ(mediator.index_data_read(0, 4), offset(0, px::ci));
    mediator.index_data_write(4, 4, 1);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 77U);
    EXPECT_EQ(mediator.index_data_read(4, 4), 1U);
    mediator.index_data_write(0, 4, 0xfffffff0);
    mediator.index_data_write(4, 4, 1); // beyond the BAR: nobody there
    EXPECT_EQ(mediator.index_data_read(4, 4), 0xffffffffU);
    EXPECT_EQ(hba.stores.size(), 1U);
}

TEST_F(Registers, StoppingForgetsAndResetsCount)
{
    build_ncq(0, 3, true, 0, 8, {{0x100000, 4096}});
    issue_ncq(0, 8);
    reg(0, px::cmd, px::cmd_fis_receive);
    EXPECT_EQ(mediator.outstanding(0), 0U);
    EXPECT_EQ(counter(Id::ahci_port_resets), 1U);
    reg(0, px::sctl, 0x301); // COMRESET
    reg(0, px::sctl, 0x300);
    EXPECT_EQ(counter(Id::ahci_port_resets), 2U);
    bring_up(0);
    issue_ncq(0, 8);
    EXPECT_EQ(counter(Id::ahci_slot_reissued), 0U);
    EXPECT_EQ(observer.commands.size(), 2U);
}

TEST_F(Registers, HbaResetInFlightForgetsAllPorts)
{
    for (unsigned port : {0U, 1U}) {
        build_ncq(port, 3, true, 0, 8, {{0x100000, 4096}});
        issue_ncq(port, 8);
    }
    mediator.write(hba::ghc, 4, 0x80000001);
    EXPECT_EQ(mediator.outstanding(0) | mediator.outstanding(1), 0U);
    EXPECT_EQ(counter(Id::ahci_hba_resets), 1U);
    reg(0, px::ci, 8); // port stopped: the HBA ignores it, and so do we
    EXPECT_EQ(observer.commands.size(), 2U);
    bring_up(0);
    issue_ncq(0, 8);
    EXPECT_EQ(observer.commands.size(), 3U);
}

TEST_F(Registers, ReuseAfterAnUnseenCompletionIsNotAnError)
{
    build_ncq(0, 3, true, 0, 8, {{0x100000, 4096}});
    issue_ncq(0, 8);
    hba.complete(0, 8); // the guest reads PxSACT without an exit, builds the next command, issues it
    build_ncq(0, 3, true, 100, 8, {{0x102000, 4096}});
    issue_ncq(0, 8);
    EXPECT_EQ(counter(Id::ahci_slot_reissued), 0U);
    EXPECT_EQ(counter(Id::ahci_table_changed), 0U);
    ASSERT_EQ(observer.commands.size(), 2U);
    EXPECT_EQ(observer.commands[1].command.lba.value, 100U);
}

TEST_F(Registers, ReuseWhileOutstandingIsCountedAndNotWrittenAgain)
{
    build(0, 3, {.command = 0xca, .lba = 3, .count = 1}, {{0x100000, 512}}, 5 | write_bit);
    reg(0, px::ci, 8);
    build(0, 4, {.command = 0xca, .lba = 4, .count = 1}, {{0x100000, 512}}, 5 | write_bit);
    reg(0, px::ci, 8 | 16); // as drivers do that write back what they read
    EXPECT_EQ(hba.stores.back(), (Store{offset(0, px::ci), 4, 16}));
    EXPECT_EQ(counter(Id::ahci_slot_reissued), 1U);
    EXPECT_EQ(observer.commands.size(), 2U);
}

TEST_F(Registers, TwoPortsInterleaved)
{
    for (unsigned i = 0; i < 32; ++i)
        for (unsigned port : {0U, 1U}) {
            fill(0x100000 + i * 0x2000, 512, i);
            build_ncq(port, i, true, port * 1000 + i, 1, {{0x100000 + i * 0x2000ULL, 512}});
        }
    for (unsigned i = 0; i < 32; ++i) {
        issue_ncq(0, 1U << i);
        issue_ncq(1, 1U << (31 - i));
    }
    ASSERT_EQ(observer.commands.size(), 64U);
    EXPECT_EQ(mediator.outstanding(0), 0xffffffffU);
    for (unsigned i = 0; i < 32; ++i) {
        EXPECT_EQ(observer.commands[2 * i].command.lba.value, i);
        EXPECT_EQ(observer.commands[2 * i].command.source, 0x300U);
        EXPECT_EQ(observer.commands[2 * i + 1].command.lba.value, 1000 + 31 - i);
        EXPECT_EQ(observer.commands[2 * i + 1].command.source, 0x301U);
    }
    EXPECT_TRUE(mediator.any_outstanding());
    hba.complete(1, 0x0000ffff);
    reg(1, px::is, 1);
    EXPECT_EQ(mediator.outstanding(1), 0xffff0000U);
    EXPECT_EQ(mediator.outstanding(0), 0xffffffffU);
    hba.complete(1, 0xffff0000);
    reg(1, px::is, 1);
    EXPECT_TRUE(mediator.any_outstanding());
    reg(0, px::cmd, 0);
    EXPECT_FALSE(mediator.any_outstanding());
}

TEST_F(Registers, AdoptFindsARunningControllerAndItsCommands)
{
    core::Counters fresh;
    AhciMediator late{0, Hba::register_bytes, hba, memory, observer, fresh, *large};
    build_ncq(0, 2, true, 55, 8, {{0x100000, 4096}});
    build(1, 0, {.command = 0x25, .lba = 66, .count = 8}, {{0x102000, 4096}});
    hba.at(0, px::sact) = 4; // issued before we were there; its PxCI bit is clear already
    hba.at(1, px::ci) = 1;
    late.adopt();
    ASSERT_EQ(observer.commands.size(), 2U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 55U);
    EXPECT_EQ(observer.commands[0].command.flags, wire::record_flag::queued | wire::record_flag::seen_late);
    EXPECT_EQ(observer.commands[1].command.flags, wire::record_flag::seen_late);
    EXPECT_EQ(fresh.get(Id::ahci_seen_late), 2U);
    EXPECT_EQ(late.outstanding(0), 4U);
    late.adopt(); // known by now
    EXPECT_EQ(observer.commands.size(), 2U);
}

TEST_F(Registers, BitsLatchedWhileStoppedAreReadWhenThePortStarts)
{
    reg(0, px::cmd, px::cmd_fis_receive);
    build(0, 6, {.command = 0xca, .lba = 12, .count = 1}, {{0x100000, 512}}, 5 | write_bit);
    reg(0, px::ci, 64);
    EXPECT_TRUE(observer.commands.empty());
    hba.at(0, px::ci) = 64; // an HBA that keeps the bit
    reg(0, px::cmd, px::cmd_fis_receive | px::cmd_start);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.lba.value, 12U);
}

TEST_F(Registers, CaptureOffStillFollows)
{
    mediator.set_capture(false);
    build_ncq(0, 0, true, 0, 8, {{0x100000, 4096}});
    issue_ncq(0, 1);
    EXPECT_TRUE(observer.commands.empty());
    EXPECT_EQ(mediator.outstanding(0), 1U);
    EXPECT_EQ(counter(Id::ahci_commands_write), 1U);
    build_ncq(0, 1, false, 0, 8, {{Memory::sensor_begin, 4096}});
    issue_ncq(0, 2);
    EXPECT_EQ(counter(Id::ahci_refused_dma), 1U);
}

TEST_F(Registers, UnimplementedPortsPassUnwatched)
{
    hba.at(hba::pi) = 1;
    mediator.adopt();
    build_ncq(1, 0, true, 0, 8, {{0x100000, 4096}});
    issue_ncq(1, 1);
    EXPECT_TRUE(observer.commands.empty());
    EXPECT_EQ(hba.stores.back(), (Store{offset(1, px::ci), 4, 1}));
}

} // namespace
} // namespace undercroft::ahci::fake
