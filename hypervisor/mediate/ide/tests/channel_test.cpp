// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Commands and PIO data. Expectations: ATA/ATAPI-6, chapters 7 to 9.
#include <algorithm>

#include "hypervisor/mediate/ide/tests/machine.hpp"

namespace undercroft::ide::fake {
namespace {

using Id = wire::CounterId;
namespace flag = wire::record_flag;

class Channels : public Machine {
protected:
    void write_words(unsigned channel, unsigned words, unsigned seed, unsigned width = 2)
    {
        for (unsigned i = 0; i < words; ++i)
            out(data(channel), (i * 0x01030507U + seed) & (width == 2 ? 0xffffU : ~0U), width);
    }
    observe::DiskCommand const& seen(std::size_t i) { return observer->commands.at(i).command; }
};

TEST_F(Channels, PioReadIsRecordedAtTheCommandAndItsDataDoesNotExit)
{
    send(0, {.opcode = 0x20, .lba = 0xabcdef1, .count = 3});
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).kind, wire::Kind::storage_read);
    EXPECT_EQ(seen(0).lba.value, 0xabcdef1U);
    EXPECT_EQ(seen(0).bytes, 3 * 512U);
    EXPECT_EQ(seen(0).source, 0x200U);
    exits = 0;
    for (unsigned i = 0; i < 3 * 256; ++i)
        EXPECT_EQ(in(data(0), 2), 0x1111U);
    EXPECT_EQ(exits, 0U);
    EXPECT_TRUE(mediator->any_outstanding());
    EXPECT_EQ(status(0), 0x50);
    EXPECT_FALSE(mediator->any_outstanding());
    EXPECT_TRUE(traps.any(data(0), 1)) << "trapped again once the guest has seen the end";
    EXPECT_EQ(counter(Id::ide_commands_read), 1U);
}

TEST_F(Channels, WrittenSectorsAreRecordedBeforeTheDiskHasThem)
{
    std::vector<std::size_t> known;
    controller.on_commit = [&](std::uint64_t) { known.push_back(observer->commands.size()); };
    send(1, {.opcode = 0x34, .lba = 0x123456789a, .count = 3, .wide = true, .drive = 1});
    write_words(1, 3 * 256, 9);
    EXPECT_EQ(known, (std::vector<std::size_t>{1, 2, 3}));
    ASSERT_EQ(observer->commands.size(), 3U);
    EXPECT_EQ(seen(0).source, 0x203U);
    EXPECT_EQ(seen(2).lba.value, 0x123456789cU);
    EXPECT_EQ(seen(2).bytes, 512U);
    expect_replay(1, 1);
    EXPECT_EQ(disk(1, 1).sectors.size(), 3U);
    status(1);
    EXPECT_EQ(counter(Id::ide_write_abandoned), 0U);
}

TEST_F(Channels, MultipleIsRecordedInTheDevicesBlocks)
{
    send(0, {.opcode = 0xc6, .count = 8});
    send(0, {.opcode = 0xc5, .lba = 100, .count = 11});
    write_words(0, 11 * 128, 3, 4); // 32-bit accesses
    ASSERT_EQ(observer->commands.size(), 2U);
    EXPECT_EQ(seen(0).bytes, 8 * 512U);
    EXPECT_EQ(seen(1).lba.value, 108U);
    EXPECT_EQ(seen(1).bytes, 3 * 512U);
    expect_replay(0);
    EXPECT_EQ(disk(0).sectors.size(), 11U);
}

TEST_F(Channels, MultipleWithoutAKnownSettingIsRecordedBySector)
{
    disk(0).multiple = 4; // set before the sensor came
    send(0, {.opcode = 0xc5, .lba = 100, .count = 8});
    write_words(0, 8 * 256, 3);
    EXPECT_EQ(observer->commands.size(), 8U);
    expect_replay(0);
}

TEST_F(Channels, ADeviceWithSmallerBlocksThanSaidIsNoticed)
{
    send(0, {.opcode = 0xc6, .count = 8});
    disk(0).multiple = 2;
    send(0, {.opcode = 0xc5, .lba = 0, .count = 8});
    controller.hold_dma = true;
    write_words(0, 2 * 256, 3);
    disk(0).status = 0xd0; // works on its block
    write_words(0, 1, 3);
    disk(0).status = 0x58;
    write_words(0, 6 * 256, 4);
    ASSERT_EQ(observer->commands.size(), 2U);
    EXPECT_EQ(seen(0).flags & flag::seen_late, flag::seen_late);
    EXPECT_EQ(counter(Id::ide_seen_late), 1U);
    expect_replay(0);
}

TEST_F(Channels, WordsThatTheDeviceDoesNotWantAreKeptBackAndCounted)
{
    disk(0).status = 0x50;
    send(0, {.opcode = 0x30, .lba = 5});
    disk(0).status = 0xd0; // not yet
    write_words(0, 4, 1);
    EXPECT_EQ(counter(Id::ide_odd_access), 4U);
    disk(0).status = 0x58;
    write_words(0, 256, 7);
    expect_replay(0);
    EXPECT_EQ(disk(0).sectors.size(), 1U);
}

TEST_F(Channels, BytesAndMixedWidths)
{
    send(0, {.opcode = 0x30, .lba = 5, .count = 2});
    out(data(0), 0x12, 1);
    EXPECT_EQ(counter(Id::ide_odd_access), 1U);
    write_words(0, 1, 1); // so that the 32-bit ones cross the sector's end
    write_words(0, 255, 3, 4);
    write_words(0, 1, 8);
    expect_replay(0);
    EXPECT_EQ(disk(0).sectors.size(), 2U);
}

TEST_F(Channels, AnAbandonedWriteIsCountedAndNotRecorded)
{
    send(0, {.opcode = 0x30, .lba = 5, .count = 2});
    write_words(0, 300, 1);
    out(0x3f6, 0x04);
    out(0x3f6, 0x00);
    EXPECT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(counter(Id::ide_write_abandoned), 1U);
    EXPECT_EQ(counter(Id::ide_resets), 1U);
    expect_replay(0);
}

TEST_F(Channels, CountZero)
{
    send(0, {.opcode = 0x20, .lba = 1, .count = 0});
    EXPECT_EQ(seen(0).bytes, 256 * 512U);
    out(0x3f6, 4), out(0x3f6, 0);
    send(0, {.opcode = 0x24, .lba = 1, .count = 0, .wide = true});
    EXPECT_EQ(seen(1).bytes, 65536 * 512U);
}

TEST_F(Channels, WhatTheDeviceHasCountsNotWhatWasWrittenLast)
{
    // The device counts its registers up while it works (older standards); the guest leaves some as they are.
    disk(0).now[2] = 4, disk(0).now[3] = 0x77, disk(0).now[4] = 1, disk(0).now[5] = 0;
    out(0x1f6, 0xe0);
    out(0x1f7, 0x20);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).lba.value, 0x177U);
    EXPECT_EQ(seen(0).bytes, 4 * 512U);
    EXPECT_EQ(counter(Id::ide_registers_stale), 1U);
}

TEST_F(Channels, HighOrderBytesAreFollowedAndReadBackWhenNot)
{
    controller.high_order_readable = false;
    send(0, {.opcode = 0x24, .lba = 0x010203040506, .count = 0x0201, .wide = true});
    EXPECT_EQ(seen(0).lba.value, 0x010203040506U);
    EXPECT_EQ(seen(0).bytes, 0x201 * 512U);
    EXPECT_EQ(counter(Id::ide_registers_stale), 0U);
    out(0x3f6, 4), out(0x3f6, 0);

    controller.high_order_readable = true;
    Disk& d = disk(0);
    d.now = {0, 0, 1, 9, 8, 7, 0xe0, 0}, d.before = {0, 0, 0, 6, 5, 4, 0, 0};
    out(0x1f7, 0x24);
    EXPECT_EQ(seen(1).lba.value, 0x040506070809U);
    EXPECT_EQ(counter(Id::ide_registers_stale), 1U);
}

TEST_F(Channels, RegistersWrittenWhileTheDataPortIsOpen)
{
    controller.channels[0].device_control = 0;
    out(0x3f6, 0);
    send(0, {.opcode = 0x20, .lba = 1});
    for (unsigned i = 0; i < 256; ++i)
        in(data(0), 2);
    out(0x1f3, 0x55); // not seen: the guest has not looked at the status yet
    out(0x1f3, 0x66);
    exits = 0;
    out(0x1f7, 0x24); // the device takes 0x66 and, as high-order byte, 0x55
    EXPECT_EQ(seen(1).lba.value & 0xff0000ffU, 0x55000066U);
}

TEST_F(Channels, CommandsAtTheWrongTimeAreNotForwarded)
{
    send(0, {.opcode = 0x30, .lba = 5});
    auto const taken = disk(0).commands.size();
    out(0x1f7, 0xca);
    EXPECT_EQ(disk(0).commands.size(), taken);
    EXPECT_EQ(counter(Id::ide_commands_not_ready), 1U);
    write_words(0, 256, 7);
    expect_replay(0);
    EXPECT_EQ(observer->commands.size(), 1U) << "the write under way is not disturbed";

    disk(0).ready = false;
    out(0x1f7, 0x20);
    EXPECT_EQ(counter(Id::ide_commands_not_ready), 2U);
    EXPECT_EQ(observer->commands.size(), 1U);
    out(0x1f7, 0x90); // EXECUTE DEVICE DIAGNOSTIC needs no DRDY
    EXPECT_EQ(disk(0).commands.back(), 0x90);
}

TEST_F(Channels, FlushesZeroesAndOthers)
{
    for (unsigned const opcode : {0xe7U, 0xeaU, 0xefU, 0xe0U, 0xa0U, 0x02U, 0x60U})
        send(0, {.opcode = static_cast<std::uint8_t>(opcode), .lba = 1});
    ASSERT_EQ(observer->commands.size(), 2U);
    EXPECT_EQ(seen(0).kind, wire::Kind::storage_flush);
    EXPECT_EQ(counter(Id::ide_commands_flush), 2U);
    EXPECT_EQ(counter(Id::ide_commands_other), 2U);
    EXPECT_EQ(counter(Id::ide_commands_packet), 1U);
    EXPECT_EQ(counter(Id::ide_commands_unknown), 2U) << "native queued commands have no place here";
    EXPECT_EQ(disk(0).commands.size(), 7U) << "all of them reached the device";
}

TEST_F(Channels, QueuedWritesAreRecordedWithoutData)
{
    send(0, {.opcode = 0xcc, .lba = 7, .count = 0x08, .features = 4});
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).kind, wire::Kind::storage_write);
    EXPECT_EQ(seen(0).bytes, 4 * 512U);
    EXPECT_TRUE(observer->commands[0].data.empty());
    EXPECT_EQ(counter(Id::ide_commands_queued), 1U);
}

class Identify : public Channels {
protected:
    void word(unsigned i, unsigned value)
    {
        disk(0).identify[2 * i] = static_cast<std::uint8_t>(value);
        disk(0).identify[2 * i + 1] = static_cast<std::uint8_t>(value >> 8);
    }
    void read_identify(unsigned width)
    {
        send(0, {.opcode = 0xec});
        for (unsigned i = 0; i < 512 / width; ++i)
            in(data(0), width);
        status(0);
    }
};

TEST_F(Identify, IsReadAsItPasses)
{
    word(83, 0x4400), word(100, 5000), word(106, 0x5000), word(117, 2048);
    std::memcpy(disk(0).identify.data() + 54, "nUedcrortf", 10);
    read_identify(2);
    ASSERT_EQ(observer->descriptions.size(), 1U);
    EXPECT_EQ(observer->descriptions[0].source, 0x200U);
    EXPECT_EQ(observer->descriptions[0].sector, 4096U);
    EXPECT_EQ(observer->descriptions[0].capacity, 40000U);
    EXPECT_EQ(observer->descriptions[0].model.substr(0, 10), "Undercroft");

    disk(0).sector_bytes = 4096;
    send(0, {.opcode = 0x30, .lba = 3});
    write_words(0, 1024, 5, 4);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).lba.value, 24U);
    EXPECT_EQ(seen(0).bytes, 4096U);
    expect_replay(0);
    status(0);
    read_identify(4);
    EXPECT_EQ(observer->descriptions.size(), 2U);
}

TEST_F(Identify, StatesTheBlocksOfMultipleCommands)
{
    disk(0).multiple = 16;
    word(59, 0x0110);
    read_identify(2);
    send(0, {.opcode = 0x39, .lba = 9, .count = 20, .wide = true});
    write_words(0, 20 * 256, 5);
    ASSERT_EQ(observer->commands.size(), 2U);
    EXPECT_EQ(seen(0).bytes, 16 * 512U);
    EXPECT_EQ(seen(1).bytes, 4 * 512U);
    expect_replay(0);
}

TEST_F(Identify, GeometryServesChsAddresses)
{
    out(0x1f6, 0xa0); // CHS
    out(0x1f2, 1), out(0x1f3, 5), out(0x1f4, 2), out(0x1f5, 0);
    out(0x1f7, 0x20);
    EXPECT_EQ(counter(Id::ide_unknown_geometry), 1U);
    EXPECT_TRUE(observer->commands.empty());
    out(0x3f6, 4), out(0x3f6, 0);
    word(53, 1), word(55, 16), word(56, 63);
    read_identify(2);
    out(0x1f6, 0xa3);
    out(0x1f2, 1), out(0x1f3, 5), out(0x1f4, 2), out(0x1f5, 0);
    out(0x1f7, 0x20);
    ASSERT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(seen(0).lba.value, (2 * 16 + 3) * 63 + 4U);
    out(0x3f6, 4), out(0x3f6, 0);
    out(0x1f2, 17), out(0x1f6, 0xa7), out(0x1f7, 0x91); // INITIALIZE DEVICE PARAMETERS: 17 sectors, 8 heads
    out(0x1f2, 1), out(0x1f3, 5), out(0x1f4, 2), out(0x1f5, 0), out(0x1f6, 0xa3);
    out(0x1f7, 0x20);
    EXPECT_EQ(seen(1).lba.value, (2 * 8 + 3) * 17 + 4U);
}

TEST_F(Identify, GarbageChangesNothing)
{
    word(0, 0x8000); // a packet device
    word(106, 0x5000), word(117, 2048);
    read_identify(2);
    EXPECT_TRUE(observer->descriptions.empty());
    send(0, {.opcode = 0x20, .lba = 9});
    EXPECT_EQ(seen(0).lba.value, 9U);
}

TEST_F(Channels, CaptureOffAndFlags)
{
    mediator->set_before_os(true);
    send(0, {.opcode = 0xe7});
    EXPECT_EQ(seen(0).flags, flag::before_os);
    mediator->set_before_os(false);
    mediator->set_capture(false);
    send(0, {.opcode = 0x30, .lba = 1});
    write_words(0, 256, 1);
    EXPECT_EQ(observer->commands.size(), 1U);
    EXPECT_EQ(disk(0).sectors.size(), 1U);
    EXPECT_EQ(counter(Id::ide_commands_write), 1U);
}

TEST_F(Channels, ChannelsDoNotDisturbEachOther)
{
    send(0, {.opcode = 0x30, .lba = 1});
    send(1, {.opcode = 0x30, .lba = 2});
    for (unsigned i = 0; i < 256; ++i) {
        out(data(0), i, 2);
        out(data(1), i * 3, 2);
    }
    expect_replay(0);
    expect_replay(1);
}

TEST_F(Channels, AdoptionCountsWhatIsUnderWay)
{
    disk(1).status = 0xd0;
    mediator->adopt();
    EXPECT_EQ(counter(Id::ide_seen_late), 1U);
}

} // namespace
} // namespace undercroft::ide::fake
