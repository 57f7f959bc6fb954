// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/store.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include <nlohmann/json.hpp>

#include "collector/store/machine_files.hpp"
#include "collector/tests/slots.hpp"
#include "collector/tests/store_folder.hpp"
#include "collector/tests/store_reading.hpp"
#include "wire/counters.hpp"

namespace undercroft::collector {
namespace {

using test::boot_a;

bool put(Store& store, std::uint64_t slot, std::uint64_t first, std::uint32_t count)
{
    auto const bytes = test::slot_bytes(first, count);
    return store.append(boot_a, {wire::Stream::storage, slot, first, count, 42, bytes});
}

TEST(Store, RowsComeBackAsTheStoreDocumentSays)
{
    test::StoreFolder const folder;
    {
        Store store{{.folder = folder.path()}};
        ASSERT_TRUE(put(store, 0, 0, 4));
        ASSERT_TRUE(put(store, 3, 10, 2));
        ASSERT_TRUE(store.append(boot_a, {wire::Stream::storage, 4, 12, 6, 42, {}}));
        ASSERT_TRUE(store.close());
    }
    auto const contents = test::read_store(folder.path());
    ASSERT_EQ(contents.rows.size(), 8U);
    auto const& lost = contents.rows.find(4)->second;
    EXPECT_EQ(lost.kind, "gap");
    EXPECT_EQ(lost.length, 6U);
    EXPECT_EQ(lost.flags, flag_lost_in_transit); // slots 1 and 2 are missing too
    EXPECT_EQ(lost.slot, 3U);
    auto const& refused = contents.rows.find(12)->second;
    EXPECT_EQ(refused.kind, "gap");
    EXPECT_EQ(refused.length, 6U);
    EXPECT_TRUE(fs::exists(folder.path() / "machine=aa010000000000000000000000000000" /
                           "boot=b0070000000000000000000000000000" / "stream=storage" / "date=2023-11-14" /
                           "00000000000000000000-00000000000000000017.parquet"));
    EXPECT_EQ(position_from_files(stream_folder(folder.path(), boot_a, wire::Stream::storage)),
              (StreamPosition{5, 18}));
}

TEST(Store, SwitchingCaptureIsKept)
{
    test::StoreFolder const folder;
    auto bytes = test::slot_bytes(1, 2); // two reads
    bytes[offsetof(wire::Record, kind)] = 32;
    bytes[sizeof(wire::Record) + offsetof(wire::Record, kind)] = 33;
    ASSERT_TRUE(slot_adds_up(bytes, 2, wire::Stream::storage));
    {
        Store store{{.folder = folder.path()}};
        ASSERT_TRUE(store.append(boot_a, {wire::Stream::storage, 0, 0, 2, 42, bytes}));
        ASSERT_TRUE(store.close());
    }
    auto const contents = test::read_store(folder.path());
    ASSERT_EQ(contents.rows.size(), 2U);
    EXPECT_EQ(contents.rows.find(0)->second.kind, "capture_off");
    EXPECT_EQ(contents.rows.find(1)->second.kind, "capture_on");
}

TEST(Store, MemoryStreamHasAFolderAndColumnsOfItsOwn)
{
    test::StoreFolder const folder;
    auto const bytes = test::memory_slot_bytes();
    {
        Store store{{.folder = folder.path()}};
        ASSERT_TRUE(put(store, 0, 0, 4)); // the same slot and sequence numbers in the other stream
        ASSERT_TRUE(store.append(boot_a, {wire::Stream::memory, 0, 0, 5, 42, bytes}));
        ASSERT_TRUE(store.close());
        EXPECT_EQ(store.resume(boot_a, wire::Stream::memory), (StreamPosition{1, 5}));
        EXPECT_EQ(store.resume(boot_a, wire::Stream::storage), (StreamPosition{1, 4}));
    }
    fs::path const file = stream_folder(folder.path(), boot_a, wire::Stream::memory) / "date=2023-11-14" /
                          "00000000000000000000-00000000000000000004.parquet";
    ASSERT_TRUE(file.string().contains("/stream=memory/"));
    auto const column = [&](char const* name) { return read_column(file, name)->chunk(0); };
    auto const kinds = std::static_pointer_cast<arrow::StringArray>(column("kind"));
    std::vector<std::string> const expected{"memory_mode", "memory_region", "memory_page", "memory_page",
                                            "memory_write"};
    for (std::int64_t i = 0; i < 5; ++i)
        EXPECT_EQ(kinds->GetString(i), expected.at(static_cast<std::size_t>(i)));
    auto const classes = std::static_pointer_cast<arrow::UInt8Array>(column("page_class"));
    EXPECT_EQ((std::vector{classes->Value(2), classes->Value(4)}), (std::vector<std::uint8_t>{1, 2}));
    auto const requests = std::static_pointer_cast<arrow::StringArray>(column("request"));
    EXPECT_EQ(requests->null_count(), 4);
    auto const request = nlohmann::json::parse(requests->GetString(0));
    EXPECT_EQ(request["mode"], "snapshot");
    EXPECT_EQ(request["action"], "start");
    EXPECT_EQ(request["flags"], (std::vector<std::string>{"consistent", "16384"}));
    EXPECT_EQ(request["range_begin"], std::uint64_t{1} << 40);
    EXPECT_EQ(request["rate_kib_per_s"], 4096);
    EXPECT_EQ(column("content")->null_count(), 4);                // the page's; a request is no content block
    EXPECT_EQ(test::read_store(folder.path()).blocks.size(), 3U); // two distinct writes of the storage slot besides
}

TEST(Store, StorageFilesHaveNoColumnsOfMemory)
{
    test::StoreFolder const folder;
    {
        Store store{{.folder = folder.path()}};
        ASSERT_TRUE(put(store, 0, 0, 4));
        ASSERT_TRUE(store.close());
    }
    fs::path const file = stream_folder(folder.path(), boot_a, wire::Stream::storage) / "date=2023-11-14" /
                          "00000000000000000000-00000000000000000003.parquet";
    EXPECT_EQ(read_column(file, "slot")->length(), 4);
    EXPECT_THROW((void)read_column(file, "page_class"), StoreError);
    EXPECT_THROW((void)read_column(file, "request"), StoreError);
}

TEST(Store, GapLongerThanItsColumnIsSplit)
{
    test::StoreFolder const folder;
    std::uint64_t const missing = (std::uint64_t{1} << 33) + 5;
    {
        Store store{{.folder = folder.path()}};
        ASSERT_TRUE(put(store, 0, missing, 1));
        ASSERT_TRUE(store.close());
    }
    auto const contents = test::read_store(folder.path());
    std::uint64_t sum = 0;
    for (auto const& [sequence, row] : contents.rows)
        if (row.kind == "gap") {
            EXPECT_EQ(sequence, sum);
            sum += row.length;
        }
    EXPECT_EQ(sum, missing);
    EXPECT_EQ(contents.rows.size(), 4U);
}

TEST(Store, ContentIsStoredOnceAcrossRestarts)
{
    test::StoreFolder const folder;
    for (std::uint64_t run = 0; run < 3; ++run) {
        Store store{{.folder = folder.path(), .roll_rows = 1}};
        for (std::uint64_t slot = run * 4; slot < run * 4 + 4; ++slot) {
            ASSERT_TRUE(put(store, slot, slot * 20, 20));
            ASSERT_TRUE(store.commit());
            store.roll_if_due(Store::Clock::now());
        }
        ASSERT_TRUE(store.close());
    }
    EXPECT_EQ(test::read_store(folder.path()).blocks.size(), 5U);
}

TEST(Store, SecondCollectorIsTurnedAway)
{
    test::StoreFolder const folder;
    Store const store{{.folder = folder.path()}};
    try {
        Store const second{{.folder = folder.path()}};
        FAIL() << "two collectors in one store";
    } catch (StoreError const& error) {
        EXPECT_NE(std::string{error.what()}.find("in use by another collector"), std::string::npos) << error.what();
    }
}

TEST(Store, FolderThatCannotBeMadeIsReported)
{
    EXPECT_THROW(Store{{.folder = "/proc/undercroft/store"}}, StoreError);
    test::StoreFolder const folder;
    std::ofstream{folder.path() / "file"} << "x";
    EXPECT_THROW(Store{{.folder = folder.path() / "file"}}, StoreError);
}

TEST(Store, OtherFormatsAreRefused)
{
    test::StoreFolder const folder;
    std::ofstream{folder.path() / "undercroft-store.json"} << R"({"format": 2})";
    EXPECT_THROW(Store{{.folder = folder.path()}}, StoreError);
    std::ofstream{folder.path() / "undercroft-store.json"} << "no json";
    EXPECT_THROW(Store{{.folder = folder.path()}}, StoreError);
}

/// Files may not grow beyond `bytes` while this lives: stands in for a full disk.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes)
    {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        rlimit const limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }
    FileSizeLimit(FileSizeLimit const&) = delete;
    FileSizeLimit& operator=(FileSizeLimit const&) = delete;

private:
    rlimit before_{};
};

TEST(Store, DiskThatTakesNoMoreIsReportedAndNothingIsLost)
{
    test::StoreFolder const folder;
    Store store{{.folder = folder.path()}};
    ASSERT_TRUE(put(store, 0, 0, 20));
    ASSERT_TRUE(store.commit());
    {
        FileSizeLimit const limit{6000};
        ASSERT_TRUE(put(store, 1, 20, 20));
        EXPECT_FALSE(store.commit());
        EXPECT_NE(store.error().find("cannot write"), std::string::npos) << store.error();
        ASSERT_TRUE(put(store, 2, 40, 20));
        EXPECT_FALSE(store.commit());
    }
    EXPECT_TRUE(store.commit());
    EXPECT_TRUE(store.error().empty());
    ASSERT_TRUE(store.close());
    EXPECT_EQ(test::read_store(folder.path()).rows.size(), 60U);
}

TEST(Store, FailedConversionStaysInTheJournalForTheNextStart)
{
    test::StoreFolder const folder;
    {
        Store store{{.folder = folder.path()}};
        ASSERT_TRUE(put(store, 0, 0, 20));
        ASSERT_TRUE(store.commit());
        FileSizeLimit const limit{1500};
        EXPECT_FALSE(store.close());
        EXPECT_FALSE(store.error().empty());
    }
    Store store{{.folder = folder.path()}};
    EXPECT_EQ(store.resume(boot_a, wire::Stream::storage), (StreamPosition{1, 20}));
    ASSERT_TRUE(store.close());
    auto const contents = test::read_store(folder.path());
    EXPECT_EQ(contents.rows.size(), 20U);
    EXPECT_EQ(contents.parts, 0U);
}

std::atomic<int> renames_until_failure{-1};

void fail_after_a_rename(char const* step)
{
    if (std::string_view{step} == "after rename" && renames_until_failure.fetch_sub(1) == 1)
        throw StoreError{"the folder cannot be synced", EIO};
}

TEST(Store, FileThatHadItsNameWhenPublishingFailedIsNotStoredTwice)
{
    test::StoreFolder const folder;
    Store store{{.folder = folder.path(), .roll_rows = 1}};
    ASSERT_TRUE(put(store, 0, 0, 20));
    ASSERT_TRUE(store.commit());
    renames_until_failure = 2; // the content file, then the record file
    set_failpoint_hook(fail_after_a_rename);
    store.roll_if_due(Store::Clock::now());
    while (store.totals().errors == 0)
        std::this_thread::yield();
    set_failpoint_hook(nullptr);
    ASSERT_TRUE(store.close());
    EXPECT_EQ(store.totals().errors, 1U);
    EXPECT_EQ(test::read_store(folder.path()).rows.size(), 20U);
}

nlohmann::json read_json(fs::path const& path)
{
    std::ifstream stream{path};
    return nlohmann::json::parse(stream);
}

TEST(MachineFiles, HelloWithHostileTextIsStillJson)
{
    test::StoreFolder const folder;
    HelloMessage hello;
    hello.counter = 12;
    std::memset(hello.body.sensor_version, '"', sizeof(hello.body.sensor_version));
    std::memset(hello.body.cpu_backend, 0xFF, sizeof(hello.body.cpu_backend));
    wire::DiskInfo disk{};
    std::memcpy(disk.model, "DISK\x01\n", 6);
    disk.capacity_512 = std::uint64_t{4096};
    hello.disks = {reinterpret_cast<std::uint8_t const*>(&disk), sizeof(disk)};
    write_hello(folder.path(), boot_a, hello);
    auto const document = read_json(boot_folder(folder.path(), boot_a) / "hello.json");
    EXPECT_EQ(document["sensor_version"], std::string(32, '"'));
    EXPECT_EQ(document["disks"][0]["model"], "DISK\x01\n");
    EXPECT_EQ(document["disks"][0]["capacity_512"], 4096);
    EXPECT_EQ(read_stored_counters(folder.path(), boot_a).hello, 12U);
}

TEST(MachineFiles, StatusNamesCountersAndSumsTheirIndexes)
{
    test::StoreFolder const folder;
    std::array<wire::Counter, 3> counters{};
    for (std::uint16_t i = 0; i < 2; ++i) {
        counters[i].id = static_cast<std::uint16_t>(wire::CounterId::exits_total);
        counters[i].index = i;
        counters[i].value = std::uint64_t{100} + i;
    }
    counters[2].id = std::uint16_t{60000};
    StatusMessage status;
    status.counters = {reinterpret_cast<std::uint8_t const*>(counters.data()), sizeof(counters)};
    write_status(folder.path(), boot_a, status);
    auto const document = read_json(boot_folder(folder.path(), boot_a) / "status.json");
    EXPECT_EQ(document["counters"]["exits_total"], 201);
    EXPECT_EQ(document["counters"]["counter_60000"], 0);
    EXPECT_EQ(document["counters_by_index"]["exits_total"]["1"], 101);
}

TEST(HashIndex, RemembersUntilItsMemoryIsUsedUp)
{
    HashIndex index{1 << 20}; // 32,768 entries
    std::size_t remembered = 0;
    for (std::uint32_t i = 0; i < 40'000; ++i)
        remembered += index.insert(sha256(reinterpret_cast<std::uint8_t const*>(&i), sizeof(i))) ? 1 : 0;
    EXPECT_EQ(remembered, 24'576U); // three quarters
    for (std::uint32_t i = 0; i < 40'000; ++i)
        EXPECT_EQ(index.contains(sha256(reinterpret_cast<std::uint8_t const*>(&i), sizeof(i))), i < remembered);
}

TEST(HashIndex, ForgetsOneAndKeepsTheOthers)
{
    HashIndex index{1 << 20};
    auto const hash = [](std::uint32_t i) { return sha256(reinterpret_cast<std::uint8_t const*>(&i), sizeof(i)); };
    for (std::uint32_t i = 0; i < 700; ++i) // nearly three quarters of 1,024: long runs
        ASSERT_TRUE(index.insert(hash(i)));
    for (std::uint32_t i = 0; i < 700; i += 3)
        index.erase(hash(i));
    index.erase(hash(5000));
    for (std::uint32_t i = 0; i < 700; ++i)
        EXPECT_EQ(index.contains(hash(i)), i % 3 != 0) << i;
    EXPECT_EQ(index.size(), 466U);
}

TEST(HashIndex, Sha256IsFips180)
{
    // FIPS 180-4 example: "abc"
    EXPECT_EQ(to_hex(sha256(reinterpret_cast<std::uint8_t const*>("abc"), 3)),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

} // namespace
} // namespace undercroft::collector
