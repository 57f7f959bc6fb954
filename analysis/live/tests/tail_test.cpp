// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Following the journal of a store that is being written. What the closed files say in the end is what must have come.
#include "analysis/live/tail.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "collector/store/store.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"

namespace undercroft::analysis {
namespace {

namespace fs = std::filesystem;
using collector::JournalWriter;
using collector::test::boot_a;
using collector::test::slot_bytes;

struct Row {
    std::uint64_t sequence{};
    std::int64_t time_ns{};
    RecordKind kind{};
    std::uint64_t address{};
    std::uint32_t length{};
    std::uint16_t flags{};
    bool operator==(Row const&) const = default;
};

Row plain(RecordRow const& row)
{
    return {row.sequence, row.time_ns, row.kind, row.address, row.length, row.flags};
}

struct Collected final : LiveSink {
    std::vector<Row> rows;
    std::vector<std::string> problems;

    void record(LiveStream const& stream, RecordRow const& row) override
    {
        EXPECT_EQ(stream.machine, collector::to_hex(boot_a.machine));
        EXPECT_EQ(stream.boot, collector::to_hex(boot_a.boot));
        rows.push_back(plain(row));
    }
    void problem(std::string const& text) override { problems.push_back(text); }
};

/// All rows of the closed files, by the reader of closed files.
std::vector<Row> stored(fs::path const& store)
{
    std::vector<Row> rows;
    Columns const columns{.address = true, .length = true, .flags = true};
    for (Boot const& boot : list_boots(store, "", ""))
        scan_records(boot, columns, {}, [&](RecordRow const& row) {
            rows.push_back(plain(row));
            return Visit::next;
        });
    return rows;
}

void append(collector::Store& store, std::uint64_t slot, std::uint64_t first, std::uint32_t count, bool refused = false)
{
    std::vector<std::uint8_t> const bytes = refused ? std::vector<std::uint8_t>{} : slot_bytes(first, count);
    ASSERT_TRUE(store.append(boot_a, {wire::Stream::storage, slot, first, count, 77, bytes}));
    ASSERT_TRUE(store.commit());
}

TEST(LiveTail, GivesWhatTheClosedFilesWillHold)
{
    collector::test::StoreFolder const folder;
    Collected live;
    Collected late;
    {
        collector::Store store{{.folder = folder.path(), .roll_rows = 25}};
        LiveTail tail{{.store = folder.path(), .from_ns = 0}};
        EXPECT_EQ(tail.poll(live), 0);
        append(store, 0, 0, 10);
        EXPECT_EQ(tail.poll(live), 10);
        append(store, 1, 10, 20);
        append(store, 3, 40, 5); // ten records are missing
        append(store, 4, 45, 3, true);
        EXPECT_EQ(tail.poll(live), 20 + 1 + 5 + 1);
        for (std::uint64_t slot = 5; slot < 20; ++slot) {
            append(store, slot, 48 + (slot - 5) * 10, 10);
            store.roll_if_due(collector::Store::Clock::now());
        }
        EXPECT_EQ(tail.counters().lost_records, 13);
        // In the middle, when some of it is in closed files and some in the journal.
        LiveTail again{{.store = folder.path(), .from_ns = 0}};
        append(store, 20, 198, 10);
        while (tail.poll(live, 7) != 0) {
        }
        while (again.poll(late) != 0) {
        }
        EXPECT_TRUE(store.close());
    }
    EXPECT_EQ(live.rows, stored(folder.path()));
    EXPECT_EQ(late.rows, live.rows);
    EXPECT_TRUE(live.problems.empty());
}

TEST(LiveTail, FromNowOnLeavesOutWhatWasThere)
{
    collector::test::StoreFolder const folder;
    collector::Store store{{.folder = folder.path()}};
    append(store, 0, 0, 10);
    LiveTail tail{{.store = folder.path(), .from_ns = {}}};
    append(store, 1, 10, 3);
    Collected live;
    EXPECT_EQ(tail.poll(live), 3);
    EXPECT_EQ(live.rows.front().sequence, 10);
    Collected timed;
    LiveTail from{{.store = folder.path(), .from_ns = 1'700'000'000'000'000'011}};
    EXPECT_EQ(from.poll(timed), 2);
    Collected other;
    LiveTail nobody{{.store = folder.path(), .from_ns = 0, .machine = "ffff"}};
    EXPECT_EQ(nobody.poll(other), 0);
}

/// A store of one journal that the tests write themselves.
class LiveTailJournal : public testing::Test {
protected:
    LiveTailJournal()
    {
        fs::create_directories(folder_.path() / "journal");
        std::ofstream{folder_.path() / "undercroft-store.json"} << "{\"format\": 1}";
    }

    static constexpr std::size_t header_bytes = 76;

    /// One slot in each batch, three records in each slot. A batch may end with padding.
    [[nodiscard]] std::vector<std::uint8_t> batches(std::uint64_t first_slot, std::uint64_t count) const
    {
        fs::path const scratch = folder_.path() / "scratch";
        fs::create_directories(scratch);
        JournalWriter writer{scratch};
        writer.open_segment(1);
        for (std::uint64_t i = first_slot; i < first_slot + count; ++i) {
            writer.append(boot_a, {wire::Stream::storage, i, i * 3, 3, 77, slot_bytes(i * 3, 3)});
            EXPECT_TRUE(writer.stage());
            writer.commit();
        }
        std::ifstream in{collector::segment_path(scratch, 1), std::ios::binary};
        std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>{in}, {}};
        fs::remove_all(scratch);
        return bytes;
    }
    /// Of a slot with its headers.
    static std::size_t frame_bytes() { return header_bytes + slot_bytes(0, 3).size(); }

    void put(std::uint64_t segment, std::span<std::uint8_t const> bytes) const
    {
        std::ofstream out{collector::segment_path(folder_.path() / "journal", segment),
                          std::ios::binary | std::ios::app};
        out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }

    collector::test::StoreFolder folder_;
    Collected live_;
};

TEST_F(LiveTailJournal, ATornFrameIsWaitedFor)
{
    std::vector<std::uint8_t> const bytes = batches(0, 2);
    std::size_t const second = bytes.size() / 2;
    LiveTail tail{{.store = folder_.path(), .from_ns = 0}};
    std::size_t done = 0;
    for (std::size_t const end :
         {std::size_t{5}, header_bytes, frame_bytes() - 1, frame_bytes(), second, second + header_bytes + 1,
          second + frame_bytes() - 1, second + frame_bytes(), bytes.size()}) {
        put(1, std::span{bytes}.subspan(done, end - done));
        done = end;
        tail.poll(live_);
        ASSERT_EQ(live_.rows.size(), end < frame_bytes() ? 0 : end < second + frame_bytes() ? 3 : 6) << end;
    }
    EXPECT_TRUE(live_.problems.empty());
}

TEST_F(LiveTailJournal, ADamagedFrameIsNamedAndTheNextSegmentRead)
{
    std::vector<std::uint8_t> bytes = batches(0, 3);
    bytes[bytes.size() / 3 + header_bytes + 10] ^= 1;
    put(1, bytes);
    LiveTail tail{{.store = folder_.path(), .from_ns = 0}};
    EXPECT_EQ(tail.poll(live_), 3);
    put(2, batches(3, 1));
    EXPECT_EQ(tail.poll(live_), 0); // it may still be in the middle of being written
    for (int i = 0; i < 100 && live_.problems.empty(); ++i) {
        std::this_thread::sleep_for(LiveTail::pause);
        tail.poll(live_);
    }
    ASSERT_EQ(live_.problems.size(), 1);
    EXPECT_NE(live_.problems[0].find("segment 1 cannot be read beyond byte "), std::string::npos) << live_.problems[0];
    ASSERT_EQ(live_.rows.size(), 3 + 1 + 3); // what is missing between them is a gap
    EXPECT_EQ(live_.rows[3].kind, RecordKind::gap);
    EXPECT_EQ(live_.rows[3].length, 6);
    EXPECT_EQ(tail.counters().damaged_segments, 1);
}

TEST_F(LiveTailJournal, AFrameCutShortByACrashIsSentAgain)
{
    std::vector<std::uint8_t> const bytes = batches(0, 2);
    put(1, std::span{bytes}.first(bytes.size() / 2 + frame_bytes() - 5));
    LiveTail tail{{.store = folder_.path(), .from_ns = 0}};
    EXPECT_EQ(tail.poll(live_), 3);
    put(2, batches(1, 2));
    tail.poll(live_);
    EXPECT_EQ(live_.rows.size(), 9);
    EXPECT_TRUE(live_.problems.empty());
}

TEST_F(LiveTailJournal, DeletedSegmentsAreReadToTheirEnd)
{
    put(1, batches(0, 2));
    put(2, batches(2, 2));
    LiveTail tail{{.store = folder_.path(), .from_ns = 0}};
    fs::remove(collector::segment_path(folder_.path() / "journal", 1));
    fs::remove(collector::segment_path(folder_.path() / "journal", 2));
    put(3, batches(4, 1));
    tail.poll(live_);
    EXPECT_EQ(live_.rows.size(), 15);
    EXPECT_EQ(tail.counters().missed_segments, 0);
}

TEST(LiveTailRefuses, WhatIsNoStore)
{
    collector::test::StoreFolder const folder;
    EXPECT_THROW(LiveTail({.store = folder.path() / "none", .from_ns = {}}), std::runtime_error);
}

} // namespace
} // namespace undercroft::analysis
