// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Which ports are trapped, and who answers, while a controller's registers are moved about.
#include "hypervisor/core/ide_guard.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "hypervisor/mediate/ide/tests/fake_channel.hpp"
#include "hypervisor/platform/tests/config_space_model.hpp"

namespace undercroft::core {
namespace {

using platform::Bar;
using platform::BarRange;
using platform::Bdf;

struct Traps final : PortTraps {
    void trap_ports(std::uint16_t first, unsigned count, bool on) override
    {
        for (unsigned i = 0; i < count; ++i)
            on ? static_cast<void>(ports.insert(first + i)) : static_cast<void>(ports.erase(first + i));
    }
    std::set<unsigned> ports;
};

class Guard : public testing::Test {
protected:
    static constexpr Bdf bdf{0, 1, 1};

    Guard()
    {
        auto& function = model.add(1, 1);
        function.identity(0x8086, 0x7010, 0x010180);
        function.set(4, 2, 0x0005, 0x0547);
        function.io_bar(4, 0xc000, 16);
        platform::PortPciConfig config{model};
        bars.set_up(config, bdf);
        for (auto& table : tables)
            table = {own.emplace_back(std::make_unique<ide::PrdTable>()).get(), 0x500000};
        mediator = std::make_unique<ide::IdeMediator>(std::uint8_t{0}, controller, memory, observer, counters, tables);
        watched[0] = {{.bdf = bdf}, mediator.get()};
        EXPECT_TRUE(guard.start(0, bars));
    }
    static BarRange io(std::uint64_t base, std::uint64_t size, bool enabled = true)
    {
        return {Bar::Kind::io, base, size, enabled};
    }

    platform::ConfigSpaceModel model;
    platform::BarFollower bars;
    ata::fake::Memory memory;
    ata::fake::Observer observer{memory};
    Counters counters;
    ide::fake::Controller controller;
    std::vector<std::unique_ptr<ide::PrdTable>> own;
    ide::TableMemories tables;
    std::unique_ptr<ide::IdeMediator> mediator;
    std::array<WatchedIde, 1> watched;
    Traps traps;
    IdeGuard guard{watched, traps, controller};
};

TEST_F(Guard, TrapsRegistersButNotTheBusMastersStatus)
{
    std::set<unsigned> const wanted{0x1f0,  0x1f1,  0x1f2,  0x1f3,  0x1f4,  0x1f5,  0x1f6,  0x1f7, 0x170,  0x171,
                                    0x172,  0x173,  0x174,  0x175,  0x176,  0x177,  0x3f6,  0x376, 0xc000, 0xc004,
                                    0xc005, 0xc006, 0xc007, 0xc008, 0xc00c, 0xc00d, 0xc00e, 0xc00f};
    EXPECT_EQ(traps.ports, wanted);
    EXPECT_EQ(mediator->ports(1).command_block, 0x170);
    EXPECT_EQ(mediator->ports(1).control, 0x376);
    EXPECT_EQ(mediator->ports(1).bus_master, 0xc008);
}

TEST_F(Guard, LeadsAccessesToTheirChannel)
{
    guard.write(0x176, 1, 0xe0);
    guard.write(0x177, 1, 0xe7);
    ASSERT_EQ(observer.commands.size(), 1U);
    EXPECT_EQ(observer.commands[0].command.source, 2U);
    guard.write(0xc00c, 4, 0x12345678);
    EXPECT_EQ(guard.read(0xc00c, 4), 0x12345678U);
    EXPECT_EQ(controller.channels[1].bm_table, 0U) << "until a start";
}

TEST_F(Guard, BothPlacesAreTrappedWhileABarMoves)
{
    guard.about_to_move(bdf, 4, io(0xd000, 16));
    EXPECT_TRUE(traps.ports.contains(0xc000));
    EXPECT_TRUE(traps.ports.contains(0xd000));
    guard.moved(bdf, 4, io(0xd000, 16));
    EXPECT_FALSE(traps.ports.contains(0xc000));
    EXPECT_FALSE(guard.owns(0xc000, 16));
    EXPECT_TRUE(traps.ports.contains(0xd00c));
    EXPECT_EQ(mediator->ports(0).bus_master, 0xd000);
}

TEST_F(Guard, DecodingOffAndOn)
{
    guard.moved(bdf, 0, io(0x1f0, 8, false));
    EXPECT_FALSE(guard.owns(0x1f0, 8));
    EXPECT_EQ(mediator->ports(0).command_block, 0);
    guard.about_to_move(bdf, 0, io(0x1f0, 8));
    guard.moved(bdf, 0, io(0x1f0, 8));
    EXPECT_EQ(mediator->ports(0).command_block, 0x1f0);
    EXPECT_TRUE(traps.ports.contains(0x1f7));
}

TEST_F(Guard, AProbeThatIsTakenBackLeavesTheOldPlaceInForce)
{
    guard.about_to_move(bdf, 4, io(0xfff0, 16));
    EXPECT_EQ(mediator->ports(0).bus_master, 0xc000);
    guard.about_to_move(bdf, 4, io(0xc000, 16));
    EXPECT_TRUE(guard.owns(0xc000, 1));
}

TEST_F(Guard, NothingMayMoveOntoTheRegisters)
{
    EXPECT_FALSE(guard.may_move({0, 31, 2}, 4, io(0x1e0, 32)));
    EXPECT_FALSE(guard.may_move(bdf, 4, io(0x1f0, 16)));
    EXPECT_FALSE(guard.may_move(bdf, 0, io(0x170, 8)));
    EXPECT_TRUE(guard.may_move(bdf, 4, io(0xc000, 16))) << "where it is";
    EXPECT_TRUE(guard.may_move(bdf, 4, io(0xe000, 16)));
    EXPECT_TRUE(guard.may_move({0, 31, 2}, 5, {Bar::Kind::memory32, 0x1f0, 8, true}));
}

} // namespace
} // namespace undercroft::core
