// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/observe/slot_buffer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace undercroft::observe {
namespace {

struct FakeClock final : core::Clock {
    std::atomic<std::uint64_t> now{1'000'000};
    Tsc tsc() const override { return Tsc{now.load()}; }
    std::uint64_t tsc_hz() const override { return 1'000'000'000; }
    UtcNs utc(Tsc at) const override { return UtcNs{at.value}; }
    bool synchronised() const override { return false; }
};

struct Memory {
    explicit Memory(std::size_t bytes) : size{bytes}, data{static_cast<std::byte*>(std::aligned_alloc(64, bytes))} {}
    ~Memory() { std::free(data); }
    std::span<std::byte> span() const { return {data, size}; }
    std::size_t size;
    std::byte* data;
};

constexpr std::size_t record_bytes = sizeof(wire::Record);

/// Record number n says n in its address; its content is a pattern of n.
wire::Record record_of(std::uint64_t n, std::uint32_t content)
{
    wire::Record record{};
    record.address = n;
    record.kind = static_cast<std::uint8_t>(wire::Kind::storage_write);
    record.content_bytes = content;
    return record;
}

std::vector<std::byte> content_of(std::uint64_t n, std::uint32_t bytes)
{
    std::vector<std::byte> content(bytes);
    for (std::uint32_t i = 0; i < bytes; ++i)
        content[i] = static_cast<std::byte>(n * 31 + i);
    return content;
}

bool put(SlotBuffer& buffer, std::uint64_t n, std::uint32_t content)
{
    auto const bytes = content_of(n, content);
    buffer.begin_request();
    bool const kept = buffer.append(record_of(n, content), bytes.data());
    buffer.end_request();
    return kept;
}

/// Reads a slot's records as a collector would; returns their numbers after checking content.
std::vector<std::uint64_t> parse(SlotView const& slot)
{
    std::vector<std::uint64_t> numbers;
    std::size_t at = 0;
    while (at < slot.bytes) {
        wire::Record record;
        EXPECT_LE(at + record_bytes, slot.bytes);
        std::memcpy(&record, slot.data + at, record_bytes);
        std::uint32_t const content = record.content_bytes.get();
        EXPECT_LE(at + record_bytes + content, slot.bytes);
        auto const expected = content_of(record.address.get(), content);
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), slot.data + at + record_bytes));
        numbers.push_back(record.address.get());
        at += record_bytes + content;
    }
    EXPECT_EQ(numbers.size(), slot.records);
    return numbers;
}

TEST(SlotBuffer, StatesOfOneSlot)
{
    Memory memory{SlotBuffer::min_memory_bytes};
    FakeClock clock;
    core::Counters counters;
    SlotBuffer buffer{memory.span(), {}, clock, counters, nullptr};
    SlotView slot;
    ASSERT_TRUE(put(buffer, 0, 4096));
    EXPECT_TRUE(buffer.has_open_slot());
    EXPECT_FALSE(buffer.view(0, slot)); // still open
    clock.now += 9'999'999;
    buffer.close_open(clock.tsc(), false);
    EXPECT_TRUE(buffer.has_open_slot());
    clock.now += 1; // 10 ms
    buffer.close_open(clock.tsc(), false);
    ASSERT_TRUE(buffer.view(0, slot));
    EXPECT_EQ(slot.state, SlotState::buffered);
    EXPECT_EQ(slot.bytes, record_bytes + 4096);
    EXPECT_FALSE(buffer.free_below(1)); // never sent
    buffer.mark_transferred(0);
    ASSERT_TRUE(buffer.view(0, slot));
    EXPECT_EQ(slot.state, SlotState::transferred);
    EXPECT_FALSE(buffer.free_below(2));
    EXPECT_TRUE(buffer.free_below(1));
    EXPECT_TRUE(buffer.free_below(1));
    EXPECT_TRUE(buffer.free_below(0));
    EXPECT_FALSE(buffer.view(0, slot));
    EXPECT_EQ(buffer.oldest(), 1U);
    EXPECT_EQ(counters.get(wire::CounterId::slots_closed), 1U);
    EXPECT_EQ(counters.get(wire::CounterId::slots_freed), 1U);
    EXPECT_EQ(counters.get(wire::CounterId::content_bytes_captured), 4096U);
}

TEST(SlotBuffer, UsedBytesAreThoseNotYetAcknowledged)
{
    Memory const memory{SlotBuffer::min_memory_bytes};
    FakeClock clock;
    core::Counters counters;
    SlotBuffer buffer{memory.span(), {}, clock, counters, nullptr};
    EXPECT_EQ(buffer.used_bytes(), 0U);
    ASSERT_TRUE(put(buffer, 0, 100));
    EXPECT_EQ(buffer.used_bytes(), record_bytes + 100);
    buffer.close_open(clock.tsc(), true);
    buffer.mark_transferred(0);
    ASSERT_TRUE(put(buffer, 1, 0));
    EXPECT_EQ(buffer.used_bytes(), 2 * record_bytes + 100);
    ASSERT_TRUE(buffer.free_below(1));
    EXPECT_EQ(buffer.used_bytes(), record_bytes);
    buffer.close_open(clock.tsc(), true);
    buffer.mark_transferred(1);
    ASSERT_TRUE(buffer.free_below(2));
    EXPECT_EQ(buffer.used_bytes(), 0U);
}

TEST(SlotBuffer, SlotsAreFilledToTheirLimitAndItemsNotSplit)
{
    Memory memory{1 << 20};
    FakeClock clock;
    core::Counters counters;
    SlotBuffer buffer{memory.span(), {}, clock, counters, nullptr};
    for (std::uint64_t n = 0; n < 8; ++n)
        ASSERT_TRUE(put(buffer, n, 4096)); // 7 * 4128 = 28,896; the eighth does not fit into 32,768
    SlotView slot;
    ASSERT_TRUE(buffer.view(0, slot));
    EXPECT_EQ(slot.records, 7U);
    EXPECT_EQ(buffer.closed_end(), 1U);
    // Header-only records fill a slot exactly: 1024 * 32 = 32,768.
    buffer.close_open(clock.tsc(), true);
    for (std::uint64_t n = 8; n < 8 + 1025; ++n)
        ASSERT_TRUE(put(buffer, n, 0));
    ASSERT_TRUE(buffer.view(2, slot));
    EXPECT_EQ(slot.bytes, 32768U);
    EXPECT_EQ(slot.first_sequence, 8U);
}

TEST(SlotBuffer, OversizedContentIsCountedNotCopied)
{
    Memory memory{SlotBuffer::min_memory_bytes};
    FakeClock clock;
    core::Counters counters;
    SlotBuffer buffer{memory.span(), {}, clock, counters, nullptr};
    buffer.begin_request();
    EXPECT_FALSE(buffer.append(record_of(0, 0xffffffff), nullptr));
    buffer.end_request();
    EXPECT_EQ(buffer.next_sequence(), 1U);
    EXPECT_EQ(counters.get(wire::CounterId::records_dropped), 1U);
}

/// Random records, sizes, sends and acknowledgements against the list of what was kept.
void run_model(std::size_t memory_bytes, std::uint32_t max_slot, unsigned seed)
{
    Memory memory{memory_bytes};
    FakeClock clock;
    core::Counters counters;
    SlotBuffer buffer{memory.span(), {.max_slot_bytes = max_slot}, clock, counters, nullptr};
    std::mt19937 random{seed};
    std::deque<std::uint64_t> kept;
    std::uint64_t next = 0, dropped = 0, sent = 0, slots_seen = 0;
    for (int step = 0; step < 20000; ++step) {
        switch (random() % 8) {
        case 0:
            buffer.close_open(clock.tsc(), true);
            break;
        case 1: // transfer some
            for (unsigned i = random() % 4; i > 0 && sent < buffer.closed_end(); --i)
                buffer.mark_transferred(sent++);
            break;
        case 2: { // acknowledge some
            std::uint64_t const upto = buffer.oldest() + (sent - buffer.oldest()) * (random() % 3) / 2;
            for (std::uint64_t number = buffer.oldest(); number < upto; ++number, ++slots_seen) {
                SlotView slot;
                ASSERT_TRUE(buffer.view(number, slot));
                EXPECT_LE(slot.bytes, max_slot);
                auto const numbers = parse(slot);
                for (std::size_t i = 0; i < numbers.size(); ++i) {
                    ASSERT_FALSE(kept.empty());
                    ASSERT_EQ(numbers[i], kept.front());
                    ASSERT_EQ(numbers[i], slot.first_sequence + i); // consecutive within a slot
                    kept.pop_front();
                }
            }
            ASSERT_TRUE(buffer.free_below(upto));
            break;
        }
        default:
            if (put(buffer, next, random() % 2 == 0 ? 0 : random() % 4097))
                kept.push_back(next);
            else
                ++dropped;
            ++next;
        }
        ASSERT_EQ(buffer.next_sequence(), next);
    }
    EXPECT_EQ(counters.get(wire::CounterId::records_dropped), dropped);
    EXPECT_EQ(counters.get(wire::CounterId::records_made), next);
    EXPECT_GT(slots_seen, 100U);
}

TEST(SlotBuffer, ModelSmallest)
{
    for (unsigned seed = 0; seed < 10; ++seed)
        run_model(SlotBuffer::min_memory_bytes, wire::max_slot_bytes, seed);
}
TEST(SlotBuffer, ModelOddSizes)
{
    for (unsigned seed = 0; seed < 10; ++seed)
        run_model(SlotBuffer::min_memory_bytes + 64 * (1 + seed * 37), SlotBuffer::min_slot_bytes + 700 * seed,
                  100 + seed);
}

/// A sender that acknowledges at once.
struct InstantSender final : RoomMaker {
    SlotBuffer* buffer = nullptr;
    std::vector<std::uint64_t> seen;
    std::uint64_t calls = 0;
    void make_room() override
    {
        ++calls;
        SlotView slot;
        while (buffer->view(buffer->oldest(), slot)) {
            auto const numbers = parse(slot);
            seen.insert(seen.end(), numbers.begin(), numbers.end());
            buffer->mark_transferred(slot.number);
            ASSERT_TRUE(buffer->free_below(slot.number + 1));
        }
    }
};

TEST(SlotBuffer, HoldLosesNothing)
{
    Memory memory{SlotBuffer::min_memory_bytes};
    FakeClock clock;
    core::Counters counters;
    InstantSender sender;
    SlotBuffer buffer{memory.span(), {.policy = core::Policy::hold}, clock, counters, &sender};
    sender.buffer = &buffer;
    for (std::uint64_t n = 0; n < 500; ++n)
        ASSERT_TRUE(put(buffer, n, static_cast<std::uint32_t>(n * 97 % 4097)));
    buffer.close_open(clock.tsc(), true);
    sender.make_room();
    ASSERT_EQ(sender.seen.size(), 500U);
    for (std::uint64_t n = 0; n < 500; ++n)
        EXPECT_EQ(sender.seen[n], n);
    EXPECT_EQ(counters.get(wire::CounterId::records_dropped), 0U);
    EXPECT_GT(counters.get(wire::CounterId::hold_waits), 10U);
}

TEST(SlotBuffer, WriterAndSenderOnTwoThreads)
{
    Memory memory{SlotBuffer::min_memory_bytes};
    FakeClock clock;
    core::Counters counters;
    SlotBuffer buffer{memory.span(), {}, clock, counters, nullptr};
    constexpr std::uint64_t total = 30000;
    std::atomic<bool> done{false};
    std::uint64_t expected = 0, gaps = 0, received = 0;
    std::thread reader{[&] {
        for (bool last = false; !last;) {
            last = done.load();
            buffer.close_open(clock.tsc(), true);
            SlotView slot;
            while (buffer.view(buffer.oldest(), slot)) {
                EXPECT_GE(slot.first_sequence, expected);
                gaps += slot.first_sequence - expected;
                auto const numbers = parse(slot);
                for (std::size_t i = 0; i < numbers.size(); ++i)
                    EXPECT_EQ(numbers[i], slot.first_sequence + i);
                received += numbers.size();
                expected = slot.first_sequence + numbers.size();
                buffer.mark_transferred(slot.number);
                EXPECT_TRUE(buffer.free_below(slot.number + 1));
            }
        }
    }};
    std::mt19937 random{7};
    for (std::uint64_t n = 0; n < total; ++n)
        put(buffer, n, random() % 4 == 0 ? random() % 4097 : 0);
    done = true;
    reader.join();
    gaps += total - expected;
    EXPECT_EQ(received + gaps, total);
    EXPECT_EQ(counters.get(wire::CounterId::records_dropped), gaps);
}

} // namespace
} // namespace undercroft::observe
