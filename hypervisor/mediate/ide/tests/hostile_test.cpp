// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A guest that means harm: the model bus master looks at what it is really given.
#include "hypervisor/mediate/ide/tests/machine.hpp"

namespace undercroft::ide::fake {
namespace {

using Id = wire::CounterId;

class Hostile : public Machine {
protected:
    void SetUp() override
    {
        controller.on_dma = [this](Controller::Channel&, std::vector<PrdEntry> const& entries) {
            ++runs;
            ASSERT_FALSE(entries.empty());
            EXPECT_TRUE(entries.back().last());
            for (PrdEntry const& entry : entries) {
                EXPECT_FALSE(memory.touches_sensor(Gpa{entry.address}, entry.bytes())) << std::hex << entry.address;
                EXPECT_LE(entry.address % 0x10000 + entry.bytes(), 0x10000U);
            }
        };
    }
    unsigned runs = 0;
};

TEST_F(Hostile, TablesAimedAtTheSensorDoNotStart)
{
    for (std::uint64_t const address : {Memory::sensor_begin, Memory::sensor_end - 2, Memory::sensor_begin - 2}) {
        put_table({{0x100000, 0x1000}, {static_cast<std::uint32_t>(address), 0x1000}});
        send(0, {.opcode = 0xc8, .count = 16});
        start(0, true);
        EXPECT_EQ(controller.channels[0].bm_command & 1, 0) << "not started";
        out(0x3f6, 4), out(0x3f6, 0);
    }
    EXPECT_EQ(runs, 0U);
    EXPECT_EQ(counter(Id::ide_refused_dma), 3U);
    EXPECT_TRUE(observer->commands.empty()) << "what does not happen has no record";
}

TEST_F(Hostile, TheTableMayNotBeTheSensors)
{
    for (std::uint32_t const table : {own_tables, static_cast<std::uint32_t>(Memory::sensor_begin), 0xffff0000U})
        start(0, true, table);
    EXPECT_EQ(runs, 0U);
    EXPECT_EQ(counter(Id::ide_bad_table), 3U);
}

TEST_F(Hostile, EditsAfterTheStartHaveNoEffect)
{
    put_table({{0x100000, 0x1000}});
    out(bm(0, 4), guest_table, 4);
    out(bm(0, 0), 9);
    put_table({{static_cast<std::uint32_t>(Memory::sensor_begin), 0x1000}});
    send(0, {.opcode = 0xc8, .count = 8}); // only now does the engine move data
    EXPECT_EQ(runs, 2U);
}

TEST_F(Hostile, AnotherTableWhileRunning)
{
    put_table({{0x100000, 0x1000}});
    put_table({{static_cast<std::uint32_t>(Memory::sensor_begin), 0x1000}}, 0x38000);
    start(0, true);
    out(bm(0, 4), 0x38000, 4);
    out(bm(0, 0), 9); // set already: no start
    EXPECT_EQ(controller.channels[0].bm_table, own_tables);
    send(0, {.opcode = 0xc8, .count = 8});
    EXPECT_EQ(runs, 2U);
    stop(0);
    out(bm(0, 0), 9);
    EXPECT_EQ(controller.channels[0].bm_command & 1, 0);
    EXPECT_EQ(counter(Id::ide_refused_dma), 1U);
}

TEST_F(Hostile, AResetBehindOurBackDoesNotHideAStart)
{
    put_table({{0x100000, 0x1000}});
    start(0, true);
    controller.channels[0].bm_command = 0; // a function-level reset
    controller.channels[0].bm_status = 0;
    controller.channels[0].bm_table = 0;
    put_table({{static_cast<std::uint32_t>(Memory::sensor_begin), 0x1000}});
    out(bm(0, 0), 9);
    EXPECT_EQ(controller.channels[0].bm_command & 1, 0);
    EXPECT_EQ(counter(Id::ide_refused_dma), 1U);
}

TEST_F(Hostile, EndlessTables)
{
    for (std::uint32_t at = 0x30000; at < 0x40000; at += 8) {
        memory.put<std::uint32_t>(at, 0x100000);
        memory.put<std::uint32_t>(at + 4, 0);
    }
    send(0, {.opcode = 0xca, .lba = 1, .count = 8});
    observer->keep_data = false;
    start(0, false);
    EXPECT_EQ(runs, 1U);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(observer->commands[0].bytes, 4096U) << "no more than the command has";
    EXPECT_EQ(counter(Id::ide_bad_table), 1U);
}

TEST_F(Hostile, WidthsAndPlacesThatDriversDoNotUse)
{
    out(0x1f2, 0x3412, 2); // count and LBA low in one
    out(0x1f4, 0x7856, 2);
    out(0x1f6, 0x20e0, 2); // device and command in one
    EXPECT_EQ(counter(Id::ide_odd_access), 3U);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(observer->commands[0].command.lba.value, 0x785634U);
    EXPECT_EQ(observer->commands[0].command.bytes, 0x12 * 512U);
}

TEST_F(Hostile, AHugeBlockCountDoesNotOverflowTheCapture)
{
    send(0, {.opcode = 0xc6, .count = 255});
    disk(0).multiple = 255;
    send(0, {.opcode = 0xc5, .lba = 0, .count = 255});
    for (unsigned i = 0; i < 255 * 128; ++i)
        out(data(0), i * 77, 4);
    EXPECT_EQ(observer->commands.size(), 2U); // 64 KiB at a time
    expect_replay(0);
}

TEST_F(Hostile, NobodyThere)
{
    for (Disk& d : controller.channels[1].disks)
        d.present = false;
    put_table({{0x100000, 0x1000}});
    send(1, {.opcode = 0xca, .lba = 1, .count = 8});
    start(1, false);
    EXPECT_TRUE(observer->commands.empty());
    EXPECT_EQ(counter(Id::ide_commands_not_ready), 1U);
}

TEST_F(Hostile, ARunningTransferAtTheSensorIsStoppedAtAdoption)
{
    auto& c = controller.channels[0];
    put_table({{static_cast<std::uint32_t>(Memory::sensor_begin), 0x1000}});
    c.bm_table = guest_table, c.bm_command = 9, c.bm_status = 1;
    mediator->adopt();
    EXPECT_EQ(c.bm_command & 1, 0);
    EXPECT_EQ(counter(Id::ide_refused_dma), 1U);
}

} // namespace
} // namespace undercroft::ide::fake
