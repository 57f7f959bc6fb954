// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/journal.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "collector/store/crc32c.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"

namespace undercroft::collector {
namespace {

class JournalTest : public testing::Test {
protected:
    static constexpr std::uint64_t frames = 5;

    JournalTest()
    {
        JournalWriter writer{folder.path()};
        writer.open_segment(1);
        for (std::uint64_t i = 0; i < frames; ++i) {
            auto const bytes = i == 2 ? std::vector<std::uint8_t>{} : test::slot_bytes(i * 3, 1);
            writer.append(test::boot_a, {wire::Stream::storage, i, i * 3, 1, 77, bytes});
            EXPECT_TRUE(writer.stage());
            // Frame and slot header, 76 bytes, and the slot; the next batch begins at the next 4 KiB.
            ends.push_back(writer.durable_bytes() + 76 + bytes.size());
            writer.commit();
            EXPECT_EQ(writer.durable_bytes() % 4096, 0U);
        }
        File const file{segment_path(folder.path(), 1), O_RDONLY};
        whole.resize(file.size());
        EXPECT_EQ(file.read_at(0, whole), whole.size());
    }

    /// Number of entries that a segment with these bytes gives, each checked.
    std::uint64_t readable(std::span<std::uint8_t const> bytes)
    {
        fs::path const path = folder.path() / "other.journal";
        {
            File file{path, O_RDWR | O_CREAT | O_TRUNC};
            file.write_at(0, bytes);
        }
        JournalReader reader{path};
        JournalEntry entry;
        std::uint64_t count = 0;
        for (; reader.next(entry); ++count) {
            EXPECT_EQ(entry.boot, test::boot_a);
            EXPECT_EQ(entry.slot.number, count);
            EXPECT_EQ(entry.slot.first_sequence, count * 3);
            EXPECT_EQ(entry.slot.received_utc_ns, 77U);
            EXPECT_TRUE(std::ranges::equal(entry.slot.bytes,
                                           count == 2 ? std::vector<std::uint8_t>{} : test::slot_bytes(count * 3, 1)));
        }
        torn = reader.torn_bytes();
        return count;
    }

    /// Where frame `index` begins.
    [[nodiscard]] static std::size_t start(std::size_t index) { return index * 4096; }
    /// Padding has a header of 12 bytes behind the frame.
    [[nodiscard]] std::size_t padding_contents(std::size_t index) const { return ends[index] + 12; }

    test::StoreFolder folder;
    std::vector<std::uint64_t> ends; ///< of each frame
    std::vector<std::uint8_t> whole;
    std::uint64_t torn = 0; ///< of the last readable()
};

TEST_F(JournalTest, CutAtAnyByteGivesTheFramesBefore)
{
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        auto const expected = static_cast<std::uint64_t>(std::ranges::upper_bound(ends, size) - ends.begin());
        ASSERT_EQ(readable(std::span{whole}.first(size)), expected) << "cut at " << size;
        bool const in_padding = expected > 0 && size < start(expected);
        ASSERT_EQ(torn, size - (in_padding ? ends[expected - 1] : start(expected))) << "cut at " << size;
    }
}

TEST_F(JournalTest, AnyChangedByteEndsTheSegmentBeforeItsFrame)
{
    for (std::size_t at = 0; at < whole.size(); ++at) {
        auto bytes = whole;
        bytes[at] ^= 0x40;
        auto const before = static_cast<std::uint64_t>(std::ranges::upper_bound(ends, at) - ends.begin());
        bool const harmless = before > 0 && at >= padding_contents(before - 1) && at < start(before);
        ASSERT_EQ(readable(bytes), harmless ? frames : before) << "byte " << at;
        ASSERT_EQ(torn == 0, harmless) << "byte " << at;
    }
}

TEST_F(JournalTest, ZeroFilledTailOfAPowerCutIsNotAFrame)
{
    auto bytes = whole;
    bytes.resize(bytes.size() + 4096);
    EXPECT_EQ(readable(bytes), frames);
    EXPECT_EQ(torn, 4096U);
}

/// A guest may write anything, so a slot's bytes may look like a frame at a multiple of 4 KiB. When a power cut has
/// kept them but not the header before them, zeros lead there, and zeros are no padding.
TEST_F(JournalTest, FrameBehindZerosIsNotRead)
{
    auto bytes = whole;
    std::ranges::fill(std::span{bytes}.subspan(start(1), 4096), std::uint8_t{0});
    EXPECT_EQ(readable(bytes), 1U);
    EXPECT_EQ(torn, bytes.size() - start(1));
}

TEST_F(JournalTest, ManyFramesOfAnyLengthAreReadAcrossTheReadersWindow)
{
    std::vector<std::uint8_t> const content(wire::max_slot_bytes, 0x5A);
    JournalWriter writer{folder.path()};
    writer.open_segment(7);
    constexpr std::uint64_t slots = 300; // some 10 MB
    for (std::uint64_t i = 0; i < slots; ++i) {
        auto const bytes = std::span{content}.first(i * 7919 % content.size());
        writer.append(test::boot_a, {wire::Stream::memory, i, i, 1, i, bytes});
        if (i % 40 == 39) {
            ASSERT_TRUE(writer.stage());
            writer.commit();
        }
    }
    ASSERT_TRUE(writer.stage());
    writer.commit();
    JournalReader reader{segment_path(folder.path(), 7)};
    JournalEntry entry;
    for (std::uint64_t i = 0; i < slots; ++i) {
        ASSERT_TRUE(reader.next(entry)) << i;
        ASSERT_EQ(entry.boot, test::boot_a);
        ASSERT_EQ(entry.slot.number, i);
        ASSERT_TRUE(std::ranges::equal(entry.slot.bytes, std::span{content}.first(i * 7919 % content.size()))) << i;
    }
    EXPECT_FALSE(reader.next(entry));
    EXPECT_EQ(reader.torn_bytes(), 0U);
}

TEST(Crc32c, IsThatOfRfc3720)
{
    // RFC 3720, appendix B.4
    std::vector<std::uint8_t> bytes(32);
    EXPECT_EQ(crc32c(0, bytes), 0x8A9136AAU);
    std::ranges::fill(bytes, std::uint8_t{0xFF});
    EXPECT_EQ(crc32c(0, bytes), 0x62A8AB43U);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    EXPECT_EQ(crc32c(0, bytes), 0x46DD794EU);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        auto const halves = crc32c(crc32c(0, std::span{bytes}.first(cut)), std::span{bytes}.subspan(cut));
        EXPECT_EQ(halves, 0x46DD794EU) << cut;
        EXPECT_EQ(crc32c_by_table(0, std::span{bytes}.first(cut)), crc32c(0, std::span{bytes}.first(cut))) << cut;
    }
}

TEST_F(JournalTest, SegmentsAreListedInOrderAndStrangersAreLeftAlone)
{
    JournalWriter writer{folder.path()};
    writer.open_segment(12);
    writer.open_segment(3);
    File const stranger{folder.path() / "00000000000000000004.journal.damaged", O_RDWR | O_CREAT};
    EXPECT_EQ(list_segments(folder.path()), (std::vector<std::uint64_t>{1, 3, 12}));
    EXPECT_THROW(writer.open_segment(3), StoreError);
}

} // namespace
} // namespace undercroft::collector
