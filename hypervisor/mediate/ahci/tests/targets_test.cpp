// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the HBA will write to is said before it can, and until it cannot any more.
#include <map>

#include "hypervisor/mediate/ahci/tests/machine.hpp"

namespace undercroft::ahci::fake {
namespace {

class Listener final : public memory::DeviceWrites, public memory::RangeVisitor {
public:
    memory::WriteTicket command_begins() override
    {
        open[next];
        return next++;
    }
    void device_will_write(memory::WriteTicket ticket, Gpa gpa, std::uint64_t bytes) override
    {
        ASSERT_TRUE(open.contains(ticket));
        open[ticket].emplace_back(gpa.value, bytes);
        said.emplace_back(gpa.value, bytes);
    }
    void command_ended(memory::WriteTicket ticket) override { EXPECT_EQ(open.erase(ticket), 1U) << "ended twice"; }
    void visit(memory::PageRange range) override { standing.emplace_back(range.begin.value, range.bytes); }

    using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
    std::map<memory::WriteTicket, Ranges> open;
    Ranges said, standing;
    memory::WriteTicket next = 5;
};

class Targets : public Machine {
protected:
    void SetUp() override
    {
        Machine::SetUp();
        mediator.set_device_writes(listener);
    }
    Listener listener;
    using Ranges = Listener::Ranges;
};

TEST_F(Targets, OfAReadAreSaidBeforeItIsIssuedAndUntilItsEnd)
{
    build_ncq(0, 4, false, 0x100, 24, {{0x100000, 8192}, {0x180000, 4096}});
    std::size_t said_at_store = 0;
    hba.on_store = [&](Hba::Store const& s) {
        if (s.offset == offset(0, px::ci))
            said_at_store = listener.said.size();
    };
    issue_ncq(0, 1U << 4);
    EXPECT_EQ(said_at_store, 2U);
    EXPECT_EQ(listener.said, (Ranges{{0x100000, 8192}, {0x180000, 4096}}));
    reg(0, px::is, 1);
    EXPECT_EQ(listener.open.size(), 1U) << "it works still";
    hba.complete(0, 1U << 4);
    reg(0, px::is, 1);
    EXPECT_TRUE(listener.open.empty());
}

TEST_F(Targets, OfAWriteAreNoneButThoseOfAnUnknownCommandAre)
{
    build_ncq(0, 0, true, 0, 8, {{0x100000, 4096}});
    issue_ncq(0, 1);
    EXPECT_TRUE(listener.said.empty());
    build(0, 1, {.command = 0x9a}, {{0x110000, 512}});
    reg(0, px::ci, 2);
    EXPECT_EQ(listener.said, (Ranges{{0x110000, 512}}));
}

TEST_F(Targets, ARefusedCommandHasNone)
{
    build(0, 0, {.command = 0x25, .count = 8}, {{Memory::sensor_begin, 4096}});
    reg(0, px::ci, 1);
    EXPECT_TRUE(listener.said.empty());
}

TEST_F(Targets, AStopEndsAllOfThem)
{
    build_ncq(0, 0, false, 0, 8, {{0x100000, 4096}});
    build_ncq(0, 9, false, 8, 8, {{0x101000, 4096}});
    issue_ncq(0, 1U << 0 | 1U << 9);
    EXPECT_EQ(listener.open.size(), 2U);
    reg(0, px::cmd, px::cmd_fis_receive | 6);
    EXPECT_TRUE(listener.open.empty());
}

TEST_F(Targets, AReusedSlotEndsItsOldCommand)
{
    build_ncq(0, 2, false, 0, 8, {{0x100000, 4096}});
    issue_ncq(0, 4);
    hba.complete(0, 4);
    build_ncq(0, 2, false, 64, 8, {{0x108000, 4096}});
    issue_ncq(0, 4); // without a look at PxIS
    ASSERT_EQ(listener.open.size(), 1U);
    EXPECT_EQ(listener.open.begin()->second, (Ranges{{0x108000, 4096}}));
}

TEST_F(Targets, StandingOnesAreThoseOfRunningPorts)
{
    mediator.standing_targets(listener);
    EXPECT_EQ(
        listener.standing,
        (Ranges{{list(0) & ~0xfffULL, 4096}, {received(0), 4096}, {list(1) & ~0xfffULL, 4096}, {received(1), 4096}}));
    reg(0, px::cmd, 0);
    listener.standing.clear();
    mediator.standing_targets(listener);
    EXPECT_EQ(listener.standing, (Ranges{{list(1) & ~0xfffULL, 4096}, {received(1), 4096}}));
    listener.said.clear();
    bring_up(0);
    EXPECT_NE(std::find(listener.said.begin(), listener.said.end(), std::pair{received(0), std::uint64_t{256}}),
              listener.said.end())
        << "said before the HBA may write there";
    EXPECT_TRUE(listener.open.empty());
}

} // namespace
} // namespace undercroft::ahci::fake
