// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Expectations: Programming Interface for Bus Master IDE Controller 1.0, 1.2 (two words: base, count with 0 = 64 KiB
// and bit 31 = end; regions and table do not cross 64 KiB boundaries).
#include "hypervisor/mediate/ide/prd.hpp"

#include <gtest/gtest.h>

#include "hypervisor/mediate/ata/tests/fakes.hpp"

namespace undercroft::ide {
namespace {

using ata::fake::Memory;

class Prd : public testing::Test {
protected:
    void put(std::uint32_t at, std::uint32_t address, std::uint32_t count_word)
    {
        memory.put<std::uint32_t>(at, address);
        memory.put<std::uint32_t>(at + 4, count_word);
    }
    PrdCopy copy(std::uint32_t at) { return copy_prd_table(memory, at, room); }

    Memory memory;
    std::vector<PrdEntry> room = std::vector<PrdEntry>(max_prd_entries);
};

TEST_F(Prd, CountZeroIs64KiB)
{
    put(0x1000, 0x20000, 0x80000000);
    PrdCopy const c = copy(0x1000);
    ASSERT_EQ(c.verdict, PrdVerdict::usable);
    EXPECT_TRUE(c.well_formed);
    EXPECT_EQ(c.bytes, 65536U);
    ASSERT_EQ(c.entries.size(), 1U);
    EXPECT_TRUE(c.entries[0].last());
    EXPECT_EQ(c.entries[0].address, 0x20000U);
    EXPECT_EQ(c.entries[0].bytes(), 65536U);
}

TEST_F(Prd, EntriesAreJoinedForTheObserverAndCutAtTheCommandsLength)
{
    put(0x1000, 0x20000, 0x1000);
    put(0x1008, 0x21000, 0x1000);
    put(0x1010, 0x40000, 0x80001000);
    PrdCopy const c = copy(0x1000);
    EXPECT_EQ(c.bytes, 0x3000U);
    PrdExtents extents{c.entries, 0x2200};
    observe::Extent e{};
    ASSERT_TRUE(extents.next(e));
    EXPECT_EQ(e.address.value, 0x20000U);
    EXPECT_EQ(e.bytes, 0x2000U);
    ASSERT_TRUE(extents.next(e));
    EXPECT_EQ(e.address.value, 0x40000U);
    EXPECT_EQ(e.bytes, 0x200U);
    EXPECT_FALSE(extents.next(e));
}

TEST_F(Prd, EntriesAcrossABoundaryAreSplit)
{
    put(0x1000, 0x2f000, 0x80003000);
    PrdCopy const c = copy(0x1000);
    ASSERT_EQ(c.verdict, PrdVerdict::usable);
    EXPECT_FALSE(c.well_formed);
    ASSERT_EQ(c.entries.size(), 2U);
    EXPECT_EQ(c.entries[0].address, 0x2f000U);
    EXPECT_EQ(c.entries[0].bytes(), 0x1000U);
    EXPECT_FALSE(c.entries[0].last());
    EXPECT_EQ(c.entries[1].address, 0x30000U);
    EXPECT_EQ(c.entries[1].bytes(), 0x2000U);
    EXPECT_TRUE(c.entries[1].last());
}

TEST_F(Prd, TheEndOfTheAddressSpaceLeadsToItsBeginning)
{
    put(0x1000, 0xfffff000, 0x80002000);
    PrdCopy const c = copy(0x1000);
    ASSERT_EQ(c.verdict, PrdVerdict::usable);
    ASSERT_EQ(c.entries.size(), 2U);
    EXPECT_EQ(c.entries[1].address, 0U);
}

TEST_F(Prd, AimedAtTheSensorByAnyByte)
{
    constexpr std::uint32_t sensor = Memory::sensor_begin, end = Memory::sensor_end;
    struct Case {
        std::uint32_t address, count;
        PrdVerdict verdict;
    };
    for (Case const k :
         {Case{sensor - 512, 512, PrdVerdict::usable}, Case{sensor - 510, 512, PrdVerdict::touches_sensor},
          Case{sensor, 2, PrdVerdict::touches_sensor}, Case{end - 2, 2, PrdVerdict::touches_sensor},
          Case{end, 512, PrdVerdict::usable}, Case{sensor - 0x8000, 0, PrdVerdict::touches_sensor}}) {
        put(0x1000, 0x20000, 0x200);
        put(0x1008, k.address, 0x80000000 | k.count);
        EXPECT_EQ(copy(0x1000).verdict, k.verdict) << std::hex << k.address;
    }
}

TEST_F(Prd, ATableWithoutAnEndIsCutAtItsBoundary)
{
    for (std::uint32_t at = 0x20000; at < 0x40000; at += 8)
        put(at, 0x50000, 2);
    PrdCopy const c = copy(0x2fff0);
    ASSERT_EQ(c.verdict, PrdVerdict::usable);
    EXPECT_FALSE(c.well_formed);
    ASSERT_EQ(c.entries.size(), 2U);
    EXPECT_TRUE(c.entries[1].last());
    EXPECT_EQ(copy(0x20000).entries.size(), max_prd_entries);
}

TEST_F(Prd, SplittingMayNotOverflowTheRoom)
{
    for (std::uint32_t at = 0x20000; at < 0x30000; at += 8)
        put(at, 0x5fff0, 0x20);
    EXPECT_EQ(copy(0x20000).verdict, PrdVerdict::too_long);
}

TEST_F(Prd, OutsideRamOrInTheSensor)
{
    EXPECT_EQ(copy(Memory::ram_bytes).verdict, PrdVerdict::unreadable);
    EXPECT_EQ(copy(0xfffffff8).verdict, PrdVerdict::unreadable);
    EXPECT_EQ(copy(Memory::sensor_begin).verdict, PrdVerdict::unreadable);
    put(Memory::sensor_begin - 8, 0x20000, 0x200); // goes on in the sensor
    EXPECT_EQ(copy(Memory::sensor_begin - 8).verdict, PrdVerdict::usable) << "a 64 KiB boundary: the table ends there";
    EXPECT_EQ(copy(0xfffc).verdict, PrdVerdict::unreadable) << "no whole entry before the boundary";
}

TEST_F(Prd, ReservedBitsAreCountedAndNotPassedOn)
{
    put(0x1000, 0x20001, 0xffff0201);
    PrdCopy const c = copy(0x1000);
    ASSERT_EQ(c.verdict, PrdVerdict::usable);
    EXPECT_FALSE(c.well_formed);
    EXPECT_EQ(c.entries[0].address, 0x20000U);
    EXPECT_EQ(c.entries[0].count_word, 0x80000200U);
}

TEST_F(Prd, EachEntryIsReadOnce)
{
    put(0x1000, 0x20000, 0x200);
    put(0x1008, 0x30000, 0x80000200);
    unsigned reads = 0;
    memory.on_access = [&](Gpa at, std::uint64_t) {
        ++reads;
        std::uint32_t const sensor = Memory::sensor_begin;
        std::memcpy(memory.raw(at.value), &sensor, sizeof(sensor)); // another CPU's edit, just afterwards
    };
    PrdCopy const c = copy(0x1000);
    EXPECT_EQ(reads, 2U);
    ASSERT_EQ(c.verdict, PrdVerdict::usable);
    EXPECT_EQ(c.entries[0].address, 0x20000U);
    EXPECT_EQ(c.entries[1].address, 0x30000U);
}

} // namespace
} // namespace undercroft::ide
