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
            writer.commit();
            ends.push_back(writer.durable_bytes());
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
            EXPECT_EQ(entry.bytes, count == 2 ? std::vector<std::uint8_t>{} : test::slot_bytes(count * 3, 1));
        }
        EXPECT_EQ(reader.torn_bytes(), bytes.size() - (count == 0 ? 0 : ends[count - 1]));
        return count;
    }

    test::StoreFolder folder;
    std::vector<std::uint64_t> ends; ///< of each frame
    std::vector<std::uint8_t> whole;
};

TEST_F(JournalTest, CutAtAnyByteGivesTheFramesBefore)
{
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        auto const expected = static_cast<std::uint64_t>(std::ranges::upper_bound(ends, size) - ends.begin());
        ASSERT_EQ(readable(std::span{whole}.first(size)), expected) << "cut at " << size;
    }
}

TEST_F(JournalTest, AnyChangedByteEndsTheSegmentBeforeItsFrame)
{
    for (std::size_t at = 0; at < whole.size(); ++at) {
        auto bytes = whole;
        bytes[at] ^= 0x40;
        auto const expected = static_cast<std::uint64_t>(std::ranges::upper_bound(ends, at) - ends.begin());
        ASSERT_EQ(readable(bytes), expected) << "byte " << at;
    }
}

TEST_F(JournalTest, ZeroFilledTailOfAPowerCutIsNotAFrame)
{
    auto bytes = whole;
    bytes.resize(bytes.size() + 4096);
    EXPECT_EQ(readable(bytes), frames);
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
