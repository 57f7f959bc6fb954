// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Writes held until they are released: what the HBA is told, and what the guest sees meanwhile.
#include "hypervisor/mediate/ahci/tests/machine.hpp"

namespace undercroft::ahci::fake {
namespace {

using Id = wire::CounterId;

class Hold : public Machine {
protected:
    [[nodiscard]] std::uint32_t seen_ci(unsigned port)
    {
        return static_cast<std::uint32_t>(mediator.read(offset(port, px::ci), 4));
    }
    /// What the HBA was told of, one entry per store.
    [[nodiscard]] std::vector<std::uint32_t> issued(unsigned port) const
    {
        std::vector<std::uint32_t> slots;
        for (Hba::Store const& s : hba.stores)
            if (s.offset == offset(port, px::ci) && s.value != 0)
                slots.push_back(static_cast<std::uint32_t>(s.value));
        return slots;
    }
    void build_plain(unsigned slot, std::uint8_t command, std::uint16_t sectors = 8)
    {
        std::vector<Piece> data;
        if (sectors != 0)
            data.push_back({0x100000, sectors * 512U});
        build(0, slot, {.command = command, .lba = 0x40, .count = sectors}, data);
    }
};

TEST_F(Hold, AQueuedWriteWaitsWhileReadsGoOn)
{
    mediator.set_hold(true);
    build_ncq(0, 3, true, 0x100, 8, {{0x100000, 4096}});
    issue_ncq(0, 1U << 3);
    build_ncq(0, 4, false, 0x200, 8, {{0x104000, 4096}});
    issue_ncq(0, 1U << 4);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1U << 4}));
    EXPECT_EQ(hba.at(0, px::sact), 3U << 3) << "the guest must not take the write for done";
    EXPECT_EQ(seen_ci(0), 3U << 3);
    hba.complete(0, 1U << 4);
    reg(0, px::is, 1);
    EXPECT_EQ(seen_ci(0), 1U << 3);
    EXPECT_EQ(mediator.held(0), 1U << 3);
    ASSERT_EQ(observer.commands.size(), 1U) << "what is held has not happened";
    EXPECT_EQ(observer.commands[0].command.kind, wire::Kind::storage_read);

    fill(0x100000, 4096, 9); // a slow disk fetches what memory holds when it comes to it
    mediator.set_hold(false);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1U << 4, 1U << 3}));
    EXPECT_EQ(mediator.held(0), 0U);
    ASSERT_EQ(observer.commands.size(), 2U);
    EXPECT_EQ(observer.commands[1].data, bytes_at(0x100000, 4096));
    EXPECT_EQ(observer.commands[1].command.flags, wire::record_flag::queued);
    EXPECT_EQ(mediator.outstanding(0), 1U << 3);
    hba.complete(0, 1U << 3);
    reg(0, px::is, 1);
    EXPECT_EQ(mediator.outstanding(0), 0U);
    EXPECT_EQ(counter(Id::ahci_table_changed), 0U);
    EXPECT_EQ(counter(Id::ahci_commands_held), 1U);
}

TEST_F(Hold, OneRegisterWriteOfSeveralSlotsIsDivided)
{
    mediator.set_hold(true);
    build_ncq(0, 0, false, 0x100, 8, {{0x100000, 4096}});
    build_ncq(0, 1, true, 0x200, 8, {{0x104000, 4096}});
    build_ncq(0, 2, false, 0x300, 8, {{0x108000, 4096}});
    mediator.write(offset(0, px::sact), 8, std::uint64_t{7} << 32 | 7);
    EXPECT_EQ(hba.at(0, px::ci), 5U);
    EXPECT_EQ(mediator.read(offset(0, px::sact), 8), std::uint64_t{7} << 32 | 7);
    EXPECT_EQ(mediator.read(offset(0, px::ci), 1), 7U);
    EXPECT_EQ(mediator.read(offset(0, px::ci) + 1, 1), 0U);
    mediator.index_data_write(0, 4, static_cast<std::uint32_t>(offset(0, px::ci)));
    EXPECT_EQ(mediator.index_data_read(4, 4), 7U) << "the second way to the registers shows the same";
    EXPECT_EQ(mediator.read(offset(1, px::ci), 4), 0U);
}

TEST_F(Hold, CommandsAreReleasedInTheGuestsOrder)
{
    mediator.set_hold(true);
    build_plain(9, 0x35);    // WRITE DMA EXT
    build_plain(2, 0xea, 0); // FLUSH CACHE EXT
    build_plain(7, 0x35);
    build_plain(1, 0x25); // READ DMA EXT
    for (unsigned slot : {9U, 2U, 7U, 1U})
        reg(0, px::ci, 1U << slot);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1U << 1}));
    EXPECT_EQ(seen_ci(0), 1U << 9 | 1U << 2 | 1U << 7 | 1U << 1);
    mediator.set_hold(false);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1U << 1, 1U << 9, 1U << 2, 1U << 7}));
}

TEST_F(Hold, AFlushPassesWhenNothingIsHeld)
{
    mediator.set_hold(true);
    build_plain(0, 0xea, 0);
    reg(0, px::ci, 1);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1}));
    // In one register write with a write it may come after it: then it waits, whatever the slots' order.
    hba.complete(0, 1);
    build_plain(0, 0xea, 0);
    build_plain(5, 0x35);
    reg(0, px::ci, 1U << 5 | 1);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1}));
    EXPECT_EQ(mediator.held(0), 1U << 5 | 1U);
    mediator.set_hold(false);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1, 1U << 5, 1}));
}

TEST_F(Hold, EverythingThatMayChangeTheMediumWaits)
{
    mediator.set_hold(true);
    // WRITE SECTORS, WRITE DMA FUA EXT, DATA SET MANAGEMENT, ZERO EXT, WRITE UNCORRECTABLE, SANITIZE, SECURITY ERASE
    // UNIT, NCQ NON-DATA, SEND FPDMA QUEUED, and one that no standard knows.
    unsigned slot = 0;
    for (unsigned const command : {0x30U, 0x3dU, 0x06U, 0x44U, 0x45U, 0xb4U, 0xf4U, 0x63U, 0x64U, 0xffU}) {
        build_plain(slot, static_cast<std::uint8_t>(command));
        reg(0, px::ci, 1U << slot);
        EXPECT_EQ(mediator.held(0) >> slot, 1U) << std::hex << command;
        ++slot;
    }
    EXPECT_TRUE(issued(0).empty());
    // IDENTIFY, SMART, SET FEATURES, READ LOG EXT, STANDBY, PACKET
    for (unsigned const command : {0xecU, 0xb0U, 0xefU, 0x2fU, 0xe0U, 0xa0U}) {
        build_plain(slot, static_cast<std::uint8_t>(command), 1);
        reg(0, px::ci, 1U << slot);
        EXPECT_EQ(mediator.held(0) >> slot, 0U) << std::hex << command;
        ++slot;
    }
}

TEST_F(Hold, AStopDropsWhatIsHeldAsTheHbaWould)
{
    mediator.set_hold(true);
    build_ncq(0, 3, true, 0x100, 8, {{0x100000, 4096}});
    issue_ncq(0, 1U << 3);
    reg(0, px::cmd, px::cmd_fis_receive | 6); // ST cleared after a time-out
    EXPECT_EQ(seen_ci(0), 0U);
    EXPECT_EQ(mediator.held(0), 0U);
    EXPECT_EQ(counter(Id::ahci_held_dropped), 1U);
    reg(0, px::cmd, px::cmd_fis_receive | px::cmd_start | 6);
    mediator.set_hold(false);
    EXPECT_TRUE(issued(0).empty()) << "the guest was told that it never happened";
    EXPECT_TRUE(observer.commands.empty());
}

TEST_F(Hold, ComresetAndHbaResetLetNothingThrough)
{
    mediator.set_hold(true);
    for (bool const whole_hba : {false, true}) {
        build_ncq(0, 3, true, 0x100, 8, {{0x100000, 4096}});
        issue_ncq(0, 1U << 3);
        EXPECT_EQ(mediator.held(0), 1U << 3);
        if (whole_hba)
            mediator.write(hba::ghc, 4, 0x80000001);
        else
            reg(0, px::sctl, 0x301);
        EXPECT_EQ(mediator.held(0), 0U);
        EXPECT_EQ(seen_ci(0) & ~hba.at(0, px::ci), 0U);
        bring_up(0);
        // The driver's second try is held like its first.
        issue_ncq(0, 1U << 3);
        EXPECT_EQ(mediator.held(0), 1U << 3);
        reg(0, px::cmd, px::cmd_fis_receive | 6);
        bring_up(0);
    }
    EXPECT_TRUE(issued(0).empty());
    EXPECT_EQ(counter(Id::ahci_held_dropped), 4U);
}

TEST_F(Hold, ASlotIssuedAgainIsHeldOnce)
{
    mediator.set_hold(true);
    build_ncq(0, 3, true, 0x100, 8, {{0x100000, 4096}});
    for (unsigned times = 0; times < 100; ++times)
        issue_ncq(0, 1U << 3);
    EXPECT_EQ(counter(Id::ahci_commands_held), 1U);
    EXPECT_EQ(counter(Id::ahci_slot_reissued), 99U);
    mediator.set_hold(false);
    EXPECT_EQ(issued(0), (std::vector<std::uint32_t>{1U << 3}));
}

TEST_F(Hold, AllSlotsOfAPortMayBeHeldAndOtherPortsGoOn)
{
    for (unsigned slot = 0; slot < 32; ++slot)
        build_ncq(0, slot, true, slot * 8, 8, {{0x100000, 4096}});
    mediator.set_hold(true);
    issue_ncq(0, ~0U);
    EXPECT_EQ(mediator.held(0), ~0U);
    build_ncq(1, 0, false, 0, 8, {{0x100000, 4096}});
    issue_ncq(1, 1);
    EXPECT_EQ(issued(1), (std::vector<std::uint32_t>{1}));
    EXPECT_EQ(seen_ci(1), 1U);
    mediator.set_hold(false);
    EXPECT_EQ(issued(0).size(), 32U);
    EXPECT_EQ(mediator.outstanding(0), ~0U);
}

TEST_F(Hold, TablesAreJudgedAgainAtTheRelease)
{
    mediator.set_hold(true);
    build_ncq(0, 3, true, 0x100, 8, {{0x100000, 4096}});
    issue_ncq(0, 1U << 3);
    prdt(0, 3, {{Memory::sensor_begin, 4096}}); // swapped while it was held
    mediator.set_hold(false);
    EXPECT_TRUE(issued(0).empty());
    EXPECT_EQ(counter(Id::ahci_refused_dma), 1U);
}

TEST_F(Hold, ALatchedWriteDoesNotStartWithThePort)
{
    reg(0, px::cmd, px::cmd_fis_receive | 6);
    mediator.set_hold(true);
    build_plain(0, 0x35);
    hba.at(0, px::ci) = 1; // an HBA that keeps bits which were set while ST was clear
    reg(0, px::cmd, px::cmd_fis_receive | px::cmd_start | 6);
    EXPECT_EQ(hba.at(0, px::cmd) & px::cmd_start, 0U);
    mediator.set_hold(false);
    reg(0, px::cmd, px::cmd_fis_receive | px::cmd_start | 6);
    EXPECT_EQ(hba.at(0, px::cmd) & px::cmd_start, px::cmd_start);
}

TEST_F(Hold, WithoutHoldingReadsCostNothing)
{
    build_ncq(0, 3, true, 0x100, 8, {{0x100000, 4096}});
    issue_ncq(0, 1U << 3);
    EXPECT_EQ(seen_ci(0), 1U << 3);
    EXPECT_EQ(hba.loads, (std::vector<std::uint64_t>{offset(0, px::ci)}));
}

} // namespace
} // namespace undercroft::ahci::fake
