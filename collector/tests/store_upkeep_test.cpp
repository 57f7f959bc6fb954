// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Retention, compaction, and what those who follow the store are told.
#include <gtest/gtest.h>

#include <algorithm>

#include "collector/store/store.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"
#include "collector/tests/store_reading.hpp"

namespace undercroft::collector {
namespace {

using test::boot_a;
using namespace std::chrono_literals;

class RecordingObserver final : public ClosedFileObserver {
public:
    void on_closed(std::string const& path, std::uint64_t bytes, ClosedKind kind) override
    {
        std::lock_guard const guard{mutex};
        EXPECT_GT(bytes, 0U) << path;
        closed.emplace_back(path, kind);
    }
    bool may_delete(std::string const& path) override
    {
        std::lock_guard const guard{mutex};
        return std::ranges::find(held, path) == held.end();
    }
    void on_replaced(std::vector<std::string> const& old, std::string const& by) override
    {
        std::lock_guard const guard{mutex};
        replaced.emplace_back(old, by);
    }
    [[nodiscard]] std::vector<std::string> of(ClosedKind kind)
    {
        std::lock_guard const guard{mutex};
        std::vector<std::string> paths;
        for (auto const& [path, its_kind] : closed)
            if (its_kind == kind)
                paths.push_back(path);
        return paths;
    }

    std::mutex mutex;
    std::vector<std::pair<std::string, ClosedKind>> closed;
    std::vector<std::string> held;
    std::vector<std::pair<std::vector<std::string>, std::string>> replaced;
};

/// A store with one record file for each of `files` slots of 10 records.
void fill(fs::path const& folder, std::uint64_t files, ClosedFileObserver* observer = nullptr)
{
    Store store{{.folder = folder, .roll_rows = 1, .upkeep = {.compact = false}, .observer = observer}};
    for (std::uint64_t slot = 0; slot < files; ++slot) {
        auto const bytes = test::slot_bytes(slot * 10, 10);
        ASSERT_TRUE(store.append(boot_a, {wire::Stream::storage, slot, slot * 10, 10, 0, bytes}));
        ASSERT_TRUE(store.commit());
        store.roll_if_due(Store::Clock::now());
    }
    ASSERT_TRUE(store.close());
}

std::vector<fs::path> record_files(fs::path const& folder)
{
    std::vector<fs::path> files;
    for (auto const& entry : fs::recursive_directory_iterator{stream_folder(folder, boot_a)})
        if (entry.path().extension() == ".parquet")
            files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

struct UpkeepTest : testing::Test {
    Upkeep upkeep(UpkeepOptions options) { return Upkeep{folder.path(), options, known, totals, &observer}; }

    test::StoreFolder folder;
    HashIndex known{1 << 20};
    StoreTotals totals;
    RecordingObserver observer;
};

TEST_F(UpkeepTest, SmallFilesBecomeOneWithTheSameRows)
{
    fill(folder.path(), 20);
    auto const before = test::read_store(folder.path());
    ASSERT_EQ(record_files(folder.path()).size(), 20U);
    Upkeep{folder.path(), {.files_to_merge = 5}, known, totals, &observer}.run(std::chrono::system_clock::now());
    auto const files = record_files(folder.path());
    ASSERT_EQ(files.size(), 1U);
    EXPECT_EQ(files[0].filename(), "00000000000000000000-00000000000000000199.parquet");
    auto const after = test::read_store(folder.path());
    ASSERT_EQ(after.rows.size(), 200U);
    for (auto const& [sequence, row] : before.rows) {
        auto const& merged = after.rows.find(sequence)->second;
        EXPECT_EQ(merged.kind, row.kind);
        EXPECT_EQ(merged.length, row.length);
        EXPECT_EQ(merged.slot, row.slot);
        EXPECT_EQ(merged.content, row.content);
    }
    EXPECT_EQ(totals.files_compacted, 20U);
    EXPECT_EQ(position_from_files(stream_folder(folder.path(), boot_a)), (StreamPosition{20, 200}));
    ASSERT_EQ(observer.replaced.size(), 1U);
    EXPECT_EQ(observer.replaced[0].first.size(), 20U);
    EXPECT_EQ(observer.replaced[0].second, observer.closed.back().first);
}

TEST_F(UpkeepTest, WhatAnInterruptedCompactionLeftGoes)
{
    fill(folder.path(), 6);
    auto const small = record_files(folder.path());
    fs::path const saved = folder.path() / "saved";
    fs::copy_file(small[2], saved);
    upkeep({.files_to_merge = 6}).run(std::chrono::system_clock::now());
    ASSERT_EQ(record_files(folder.path()).size(), 1U);
    fs::rename(saved, small[2]);
    upkeep({.files_to_merge = 6}).run(std::chrono::system_clock::now());
    EXPECT_EQ(record_files(folder.path()).size(), 1U);
    EXPECT_EQ(test::read_store(folder.path()).rows.size(), 60U);
}

TEST_F(UpkeepTest, HeldAndLargeFilesAreNotMerged)
{
    fill(folder.path(), 9);
    auto const files = record_files(folder.path());
    observer.held = {files[4].lexically_relative(folder.path()).generic_string()};
    upkeep({.files_to_merge = 4}).run(std::chrono::system_clock::now());
    EXPECT_EQ(record_files(folder.path()).size(), 3U); // 4 merged, the held one, 4 merged
    EXPECT_TRUE(fs::exists(files[4]));
    test::StoreFolder const other;
    fill(other.path(), 9);
    Upkeep{other.path(), {.small_file_bytes = 100, .files_to_merge = 4}, known, totals, nullptr}.run(
        std::chrono::system_clock::now());
    EXPECT_EQ(record_files(other.path()).size(), 9U);
}

TEST_F(UpkeepTest, OldFilesGoButThePositionStays)
{
    fill(folder.path(), 5);
    auto const files = record_files(folder.path());
    for (fs::path const& path : files)
        fs::last_write_time(path, fs::file_time_type::clock::now() - 48h);
    for (auto const& entry : fs::recursive_directory_iterator{folder.path() / "content"})
        if (entry.is_regular_file())
            fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - 48h);
    static_cast<void>(load_content_index(folder.path(), known));
    ASSERT_EQ(known.size(), 5U);
    observer.held = {files[1].lexically_relative(folder.path()).generic_string()};
    upkeep({.keep_age = 24h, .compact = false}).run(std::chrono::system_clock::now());
    EXPECT_EQ(record_files(folder.path()), std::vector<fs::path>{files[1]});
    EXPECT_EQ(totals.files_deleted_by_age, 4U);
    // The remaining rows' content is there; no content is known that is not.
    auto const left = test::read_store(folder.path());
    for (auto const& [sequence, row] : left.rows)
        if (row.content) {
            EXPECT_EQ(left.blocks.count(*row.content), 1U) << sequence;
        }
    EXPECT_EQ(known.size(), left.blocks.size());
    observer.held.clear();
    upkeep({.keep_age = 24h, .compact = false}).run(std::chrono::system_clock::now());
    EXPECT_TRUE(record_files(folder.path()).empty());
    EXPECT_TRUE(test::read_store(folder.path()).blocks.empty());
    EXPECT_EQ(known.size(), 0U);
    // Old datagrams are still old: a collector that starts now does not take them again.
    Store store{{.folder = folder.path()}};
    EXPECT_EQ(store.resume(boot_a), (StreamPosition{5, 50}));
}

TEST_F(UpkeepTest, OldestFilesGoWhenTheStoreIsTooLarge)
{
    fill(folder.path(), 8);
    auto const files = record_files(folder.path());
    std::uint64_t total = 0;
    auto age = fs::file_time_type::clock::now() - 1h;
    for (fs::path const& path : files)
        fs::last_write_time(path, age += 1min);
    for (auto const& entry : fs::recursive_directory_iterator{folder.path()})
        if (entry.is_regular_file() && entry.path().extension() == ".parquet")
            total += entry.file_size();
    upkeep({.keep_bytes = total - fs::file_size(files[0]) - 1, .compact = false}).run(std::chrono::system_clock::now());
    EXPECT_EQ(record_files(folder.path()), (std::vector<fs::path>{files.begin() + 2, files.end()}));
    EXPECT_EQ(totals.files_deleted_by_size, 2U);
}

TEST_F(UpkeepTest, FollowersHearOfContentFirstAndOfEverythingAgainAfterARestart)
{
    fill(folder.path(), 3, &observer);
    auto const records = observer.of(ClosedKind::records);
    EXPECT_EQ(records.size(), 3U);
    ASSERT_EQ(observer.of(ClosedKind::content).size(), 2U); // the third slot brings no new blocks
    auto const place = [&](std::string const& path) {
        return std::ranges::find(observer.closed, path, [](auto const& one) { return one.first; });
    };
    EXPECT_LT(place(observer.of(ClosedKind::content)[0]), place(records[0]));
    RecordingObserver again;
    {
        Store const store{{.folder = folder.path(), .upkeep = {.compact = false}, .observer = &again}};
    }
    auto sorted = again.of(ClosedKind::records);
    std::ranges::sort(sorted);
    EXPECT_EQ(sorted, records);
    EXPECT_EQ(again.closed.front().second, ClosedKind::content);
    EXPECT_EQ(again.of(ClosedKind::meta), std::vector<std::string>{"undercroft-store.json"});
}

} // namespace
} // namespace undercroft::collector
