// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/ingest/assembly.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "collector/tests/slots.hpp"

namespace undercroft::collector {
namespace {

using test::boot_a;

class RecordingSink final : public SlotSink {
public:
    bool append(BootKey const& boot, Slot const& slot) override
    {
        EXPECT_EQ(boot, boot_a);
        if (full)
            return false;
        numbers.push_back(slot.number);
        bytes.emplace_back(slot.bytes.begin(), slot.bytes.end());
        return true;
    }
    bool full = false;
    std::vector<std::uint64_t> numbers;
    std::vector<std::vector<std::uint8_t>> bytes;
};

class AssemblyTest : public testing::Test {
protected:
    void feed(DataFragment const& data)
    {
        assembly.accept(data);
        assembly.deliver(sink, 5);
    }
    void feed_slot(std::uint64_t slot, std::uint64_t first, std::uint32_t count, std::uint64_t oldest = 0)
    {
        auto const content = test::slot_bytes(first, count);
        for (DataFragment data : test::cut(content, slot, first, count, 2)) {
            data.oldest_slot = oldest;
            feed(data);
        }
    }

    MemoryBudget budget{1 << 20};
    Counters counters;
    RecordingSink sink;
    AssemblyLimits limits{.window_slots = 16, .stream_bytes = 1 << 19};
    StreamAssembly assembly{boot_a, wire::Stream::storage, {}, limits, budget, counters};
};

TEST_F(AssemblyTest, EveryOrderOfFourFragmentsGivesTheSameSlot)
{
    auto const bytes = test::slot_bytes(0, 9);
    auto const pieces = test::cut(bytes, 0, 0, 9, 4);
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    do {
        MemoryBudget own_budget{1 << 20};
        StreamAssembly one{boot_a, wire::Stream::storage, {}, limits, own_budget, counters};
        RecordingSink own;
        for (std::size_t const i : order) {
            EXPECT_TRUE(own.numbers.empty());
            one.accept(pieces[i]);
            one.deliver(own, 0);
        }
        ASSERT_EQ(own.numbers, std::vector<std::uint64_t>{0});
        EXPECT_EQ(own.bytes[0], bytes);
        EXPECT_EQ(own_budget.used, 0U);
    } while (std::ranges::next_permutation(order).found);
}

TEST_F(AssemblyTest, ShuffledDuplicatedLossyStreamComesOutCompleteAndInOrder)
{
    std::mt19937 random{7};
    constexpr std::uint64_t slots = 12;
    std::vector<std::vector<std::uint8_t>> bytes;
    std::vector<DataFragment> pieces;
    for (std::uint64_t slot = 0; slot < slots; ++slot)
        bytes.push_back(test::slot_bytes(slot * 5, 5));
    for (std::uint64_t slot = 0; slot < slots; ++slot)
        std::ranges::copy(test::cut(bytes[slot], slot, slot * 5, 5, 3), std::back_inserter(pieces));
    for (int round = 0; round < 60 && sink.numbers.size() < slots; ++round) {
        std::ranges::shuffle(pieces, random);
        for (auto const& piece : pieces)
            if (random() % 5 == 0)
                feed(piece);
    }
    ASSERT_EQ(sink.bytes, bytes);
    EXPECT_TRUE(std::ranges::is_sorted(sink.numbers));
    EXPECT_EQ(counters.get(Counter::records_stored), slots * 5);
    EXPECT_EQ(counters.get(Counter::gaps), 0U);
    EXPECT_GT(counters.get(Counter::fragments_duplicate), 0U);
    EXPECT_EQ(assembly.waiting_bytes(), 0U);
}

TEST_F(AssemblyTest, DurableOnlyAfterTheCommitThatCoversIt)
{
    feed_slot(0, 0, 3);
    EXPECT_EQ(assembly.durable_slot(), 0U);
    assembly.commit_started();
    feed_slot(1, 3, 3);
    assembly.commit_finished();
    EXPECT_EQ(assembly.durable_slot(), 1U); // slot 1 came after the batch was cut
    auto const entries = assembly.ack_entries();
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].slot.get(), 1U);
    EXPECT_EQ(entries[0].received.get(), 3U);
}

TEST_F(AssemblyTest, EntriesTellWhichFragmentsOfLaterSlotsArrived)
{
    auto const bytes = test::slot_bytes(30, 9);
    auto const pieces = test::cut(bytes, 3, 30, 9, 5);
    feed(pieces[1]);
    feed(pieces[4]);
    auto const entries = assembly.ack_entries();
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].slot.get(), 3U);
    EXPECT_EQ(entries[0].received.get(), 0b10010U);
}

TEST_F(AssemblyTest, JumpInSequenceIsAGapAtTheSensor)
{
    feed_slot(0, 0, 4);
    feed_slot(1, 10, 2);
    EXPECT_EQ(counters.get(Counter::gaps), 1U);
    EXPECT_EQ(counters.get(Counter::records_missing_at_sensor), 6U);
    EXPECT_EQ(counters.get(Counter::records_missing_in_transit), 0U);
    EXPECT_EQ(assembly.position(), (StreamPosition{2, 12}));
}

TEST_F(AssemblyTest, FreedSlotsAreSkippedAndTheirRecordsCountedAsLostInTransit)
{
    feed_slot(0, 0, 4);
    feed_slot(100'000, 900, 2, 100'000);
    EXPECT_EQ(sink.numbers, (std::vector<std::uint64_t>{0, 100'000}));
    EXPECT_EQ(counters.get(Counter::slots_skipped), 99'999U);
    EXPECT_EQ(counters.get(Counter::records_missing_in_transit), 896U);
}

TEST_F(AssemblyTest, FreedButHeldSlotIsStillDelivered)
{
    feed_slot(2, 20, 2);
    auto const half = test::slot_bytes(30, 6);
    feed(test::cut(half, 3, 30, 6, 2)[0]);
    feed_slot(6, 60, 2, 6); // the sensor has dropped all below 6: slot 2 is here, 3 only in part
    EXPECT_EQ(sink.numbers, (std::vector<std::uint64_t>{2, 6}));
    EXPECT_EQ(budget.used, 0U);
}

TEST_F(AssemblyTest, WindowAndMemoryBoundWhatWaits)
{
    feed_slot(16, 100, 2);
    EXPECT_EQ(counters.get(Counter::data_beyond_window), 2U);
    MemoryBudget tight{4096};
    StreamAssembly one{boot_a, wire::Stream::storage, {}, limits, tight, counters};
    auto const bytes = test::slot_bytes(0, 60);
    for (std::uint64_t slot = 1; slot < 16; ++slot)
        one.accept(test::cut(bytes, slot, slot * 60, 60, 4)[0]);
    EXPECT_LE(tight.used, tight.limit);
    EXPECT_GT(counters.get(Counter::data_without_memory), 0U);
    // The first missing slot is taken all the same, or nothing would ever become free.
    for (auto const& piece : test::cut(bytes, 0, 0, 60, 4))
        one.accept(piece);
    one.deliver(sink, 0);
    EXPECT_EQ(sink.numbers, std::vector<std::uint64_t>{0});
}

TEST_F(AssemblyTest, ContradictingFragmentsAreRefused)
{
    auto const bytes = test::slot_bytes(0, 9);
    auto pieces = test::cut(bytes, 0, 0, 9, 3, 10);
    feed(pieces[0]);
    DataFragment overlapping = pieces[1];
    overlapping.offset -= 1;
    feed(overlapping);
    EXPECT_EQ(counters.get(Counter::data_inconsistent), 1U);
    DataFragment older_cut = test::cut(bytes, 0, 0, 9, 2, 1)[0];
    feed(older_cut);
    EXPECT_EQ(counters.get(Counter::data_inconsistent), 2U);
    feed(pieces[1]);
    feed(pieces[2]);
    ASSERT_EQ(sink.numbers.size(), 1U);
    EXPECT_EQ(sink.bytes[0], bytes);
}

TEST_F(AssemblyTest, NewerCutOfTheSlotStartsItOver)
{
    auto const bytes = test::slot_bytes(0, 9);
    feed(test::cut(bytes, 0, 0, 9, 3, 10)[0]);
    for (auto const& piece : test::cut(bytes, 0, 0, 9, 5, 20))
        feed(piece);
    ASSERT_EQ(sink.bytes.size(), 1U);
    EXPECT_EQ(sink.bytes[0], bytes);
}

TEST_F(AssemblyTest, SlotThatDoesNotAddUpBecomesAGapAndDoesNotBlock)
{
    auto bytes = test::slot_bytes(0, 4);
    bytes[20] = 99; // kind of the first record
    for (auto const& piece : test::cut(bytes, 0, 0, 4, 2))
        feed(piece);
    feed_slot(1, 4, 2);
    ASSERT_EQ(sink.numbers, (std::vector<std::uint64_t>{0, 1}));
    EXPECT_TRUE(sink.bytes[0].empty());
    EXPECT_EQ(counters.get(Counter::slots_refused), 1U);
    EXPECT_EQ(counters.get(Counter::records_missing_in_transit), 4U);
}

TEST_F(AssemblyTest, SequenceRunningBackwardsIsRefused)
{
    feed_slot(0, 0, 4);
    feed_slot(1, 2, 4);
    feed_slot(2, std::uint64_t{1} << 50, 4);
    feed_slot(3, 4, 1);
    EXPECT_EQ(counters.get(Counter::slots_bad_sequence), 2U);
    EXPECT_EQ(sink.numbers, (std::vector<std::uint64_t>{0, 3}));
}

TEST_F(AssemblyTest, FullSinkLosesNothing)
{
    sink.full = true;
    feed_slot(0, 0, 4);
    feed_slot(1, 4, 4);
    EXPECT_EQ(counters.get(Counter::slots_stored), 0U);
    sink.full = false;
    assembly.deliver(sink, 0);
    EXPECT_EQ(sink.numbers, (std::vector<std::uint64_t>{0, 1}));
}

} // namespace
} // namespace undercroft::collector
