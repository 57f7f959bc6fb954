// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Each kind of damage is found and named; what can be repaired without guessing is.
#include "collector/store/fsck.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>

#include "collector/store/store.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"

namespace undercroft::collector {
namespace {

using test::boot_a;

class FsckTest : public testing::Test {
protected:
    FsckTest()
    {
        Store store{{.folder = folder.path(), .roll_rows = 1, .upkeep = {.compact = false}}};
        for (std::uint64_t slot = 0; slot < 3; ++slot) {
            auto const bytes = test::slot_bytes(first(slot), 10);
            EXPECT_TRUE(store.append(boot_a, {wire::Stream::storage, slot, first(slot), 10, 0, bytes}));
            EXPECT_TRUE(store.commit());
            store.roll_if_due(Store::Clock::now());
        }
        EXPECT_TRUE(store.close());
        for (auto const& entry : fs::recursive_directory_iterator{folder.path()}) {
            if (entry.path().extension() != ".parquet")
                continue;
            auto& list = entry.path().string().contains("/content/") ? content : records;
            list.push_back(entry.path());
        }
        std::ranges::sort(records);
    }
    /// Four records are missing before the last slot.
    static std::uint64_t first(std::uint64_t slot) { return slot * 10 + (slot == 2 ? 4 : 0); }

    FsckReport check(FsckOptions options = {}) { return check_store(folder.path(), options); }
    /// The one problem that there is.
    std::string problem(FsckOptions options = {})
    {
        auto const report = check(options);
        EXPECT_EQ(report.problems + report.repaired, 1U);
        for (Finding const& finding : report.findings)
            if (finding.grade == Finding::Grade::problem)
                return finding.path + ": " + finding.text;
        return "";
    }
    static void flip(fs::path const& path, std::uint64_t at)
    {
        File file{path, O_RDWR};
        std::array<std::uint8_t, 1> byte{};
        ASSERT_EQ(file.read_at(at, byte), 1U);
        byte[0] ^= 0xFF;
        file.write_at(at, byte);
    }

    test::StoreFolder folder;
    std::vector<fs::path> records;
    std::vector<fs::path> content;
};

TEST_F(FsckTest, WholeStoreHasNoProblems)
{
    auto const report = check({.deep = true});
    EXPECT_EQ(report.problems, 0U);
    EXPECT_TRUE(report.findings.empty());
    EXPECT_EQ(report.record_files, 3U);
    EXPECT_EQ(report.rows, 31U);
    EXPECT_EQ(report.gap_rows, 1U);
    EXPECT_EQ(report.gap_records, 4U);
    EXPECT_EQ(report.content_blocks, 5U);
}

TEST_F(FsckTest, UnfinishedFileIsRemovedOnRequest)
{
    fs::path const part = records[0].parent_path() / "00000000000000000099.parquet.part";
    std::ofstream{part} << "half a file";
    EXPECT_NE(problem().find("99.parquet.part: unfinished file"), std::string::npos);
    EXPECT_TRUE(fs::exists(part));
    EXPECT_NE(problem({.repair = true}), "");
    EXPECT_FALSE(fs::exists(part));
    EXPECT_EQ(check().problems, 0U);
}

TEST_F(FsckTest, MissingFileIsAGapThatNoRowExplains)
{
    fs::remove(records[1]);
    EXPECT_NE(problem().find("records 10 to 19 are missing before it, without a gap row"), std::string::npos);
}

TEST_F(FsckTest, FilesThatOverlapAreNamed)
{
    fs::copy_file(records[1], records[1].parent_path() / "00000000000000000005-00000000000000000019.parquet");
    auto const report = check();
    EXPECT_GE(report.problems, 2U); // it overlaps the file before, and is not what its name says
}

TEST_F(FsckTest, LeftoverOfACompactionIsRemovedOnRequest)
{
    // As after a crash: the merged file is there, and one of its parts still is.
    fs::path const saved = folder.path() / "saved";
    fs::copy_file(records[1], saved);
    HashIndex known{1 << 20};
    StoreTotals totals;
    Upkeep{folder.path(), {.files_to_merge = 3}, known, totals, nullptr}.run(std::chrono::system_clock::now());
    ASSERT_FALSE(fs::exists(records[1]));
    fs::rename(saved, records[1]);
    EXPECT_NE(problem().find("left over from an interrupted compaction"), std::string::npos);
    static_cast<void>(check({.repair = true}));
    EXPECT_FALSE(fs::exists(records[1]));
    auto const report = check();
    EXPECT_EQ(report.problems, 0U);
    EXPECT_EQ(report.rows, 31U);
}

TEST_F(FsckTest, DamagedFileIsSetAsideAndItsRowsAreMissed)
{
    fs::resize_file(records[1], fs::file_size(records[1]) / 2);
    EXPECT_NE(problem().find(records[1].filename().string()), std::string::npos);
    auto const repaired = check({.repair = true});
    EXPECT_EQ(repaired.repaired, 1U);
    EXPECT_FALSE(fs::exists(records[1]));
    EXPECT_TRUE(fs::exists(records[1].string() + ".damaged"));
    auto const after = check(); // the missing records, and the file that waits for a look
    EXPECT_EQ(after.problems, 2U);
}

TEST_F(FsckTest, MissingContentIsCounted)
{
    ASSERT_EQ(content.size(), 2U); // four blocks of the first slot, one of the second
    std::ranges::sort(content);
    fs::remove(content[0]);
    auto const report = check();
    EXPECT_EQ(report.problems, 3U); // each record file has rows that refer to it
    EXPECT_NE(report.findings[0].text.find("4 rows refer to content that no content file has"), std::string::npos);
}

TEST_F(FsckTest, ChangedContentIsFoundByADeepCheck)
{
    // Whatever byte is hit: the file cannot be read, or a block has another hash.
    std::uint64_t found = 0;
    std::uint64_t const size = fs::file_size(content[0]);
    for (std::uint64_t at = 4; at < size / 2; at += 16) {
        flip(content[0], at);
        found += check({.deep = true}).problems != 0 ? 1 : 0;
        flip(content[0], at);
    }
    EXPECT_GT(found, size / 2 / 16 / 2);
    EXPECT_EQ(check({.deep = true}).problems, 0U);
}

TEST_F(FsckTest, DamagedSegmentInTheMiddleOfTheJournalIsAProblemTheLastOneIsNot)
{
    JournalWriter writer{folder.path() / "journal"};
    auto const bytes = test::slot_bytes(34, 2);
    for (std::uint64_t number : {50U, 51U}) {
        writer.open_segment(number);
        writer.append(boot_a, {wire::Stream::storage, 3, 34, 2, 0, bytes});
        ASSERT_TRUE(writer.stage());
        writer.commit();
    }
    EXPECT_EQ(check().problems, 0U);
    EXPECT_EQ(check().journal_slots, 2U);
    flip(segment_path(folder.path() / "journal", 51), 100);
    EXPECT_EQ(check().problems, 0U);
    flip(segment_path(folder.path() / "journal", 50), 100);
    EXPECT_NE(problem().find("cannot be read: records may be missing"), std::string::npos);
}

TEST_F(FsckTest, StoreInUseIsNotRepaired)
{
    Store const store{{.folder = folder.path()}};
    EXPECT_EQ(check().problems, 0U);
    EXPECT_THROW(static_cast<void>(check({.repair = true})), StoreError);
}

TEST_F(FsckTest, OtherFolderIsNoStore)
{
    test::StoreFolder const other;
    EXPECT_THROW(static_cast<void>(check_store(other.path(), {})), StoreError);
}

} // namespace
} // namespace undercroft::collector
