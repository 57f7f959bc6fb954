// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// uc_store_scan STORE: reads kind, address and length of every row of the storage streams and sums them up.
// uc_store_scan STORE MACHINE FROM_NS TO_NS: the same for one machine and time, leaving out row groups by their
// statistics. For benchmarks: what a reader with Arrow alone gets from the files. Prints JSON.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <thread>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <nlohmann/json.hpp>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/statistics.h>

namespace {

namespace fs = std::filesystem;

struct Range {
    std::int64_t from = std::numeric_limits<std::int64_t>::min();
    std::int64_t to = std::numeric_limits<std::int64_t>::max();
    bool operator==(Range const&) const = default;
};

struct Sums {
    std::uint64_t rows = 0;
    std::uint64_t read_rows = 0;
    std::uint64_t bytes = 0;
    std::uint64_t highest_address = 0;
    std::uint64_t writes = 0;
};

constexpr int time_column = 1;
constexpr int kind_column = 2;

template <typename Value>
Value or_throw(arrow::Result<Value> result)
{
    if (!result.ok())
        throw std::runtime_error{result.status().ToString()};
    return *std::move(result);
}

std::vector<int> groups_in(parquet::FileMetaData const& metadata, Range range)
{
    std::vector<int> groups;
    for (int i = 0; i < metadata.num_row_groups(); ++i) {
        auto const statistics = std::dynamic_pointer_cast<parquet::Int64Statistics>(
            metadata.RowGroup(i)->ColumnChunk(time_column)->statistics());
        if (!statistics || !statistics->HasMinMax() ||
            (statistics->min() < range.to && statistics->max() >= range.from))
            groups.push_back(i);
    }
    return groups;
}

/// For each entry of the batch's dictionary of kinds: 0 gap, 1 another kind, 2 write.
std::vector<std::uint8_t> meanings(arrow::DictionaryArray const& kind)
{
    std::vector<std::uint8_t> meaning;
    auto const& names = static_cast<arrow::StringArray const&>(*kind.dictionary());
    for (std::int64_t i = 0; i < names.length(); ++i)
        meaning.push_back(names.GetView(i) == "gap" ? 0 : names.GetView(i) == "write" ? 2 : 1);
    return meaning;
}

void add(arrow::RecordBatch const& batch, Range range, Sums& sums)
{
    auto const& kind = static_cast<arrow::DictionaryArray const&>(*batch.GetColumnByName("kind"));
    auto const meaning = meanings(kind);
    auto const* const index = static_cast<arrow::Int32Array const&>(*kind.indices()).raw_values();
    auto const times = std::static_pointer_cast<arrow::TimestampArray>(batch.GetColumnByName("time"));
    std::int64_t const* const time = times ? times->raw_values() : nullptr;
    auto const* const address = static_cast<arrow::UInt64Array const&>(*batch.GetColumnByName("address")).raw_values();
    auto const* const length = static_cast<arrow::UInt32Array const&>(*batch.GetColumnByName("length")).raw_values();
    sums.read_rows += static_cast<std::uint64_t>(batch.num_rows());
    for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
        std::uint8_t const what = meaning[static_cast<std::size_t>(index[i])];
        if (what == 0 || (time != nullptr && (time[i] < range.from || time[i] >= range.to)))
            continue;
        ++sums.rows;
        sums.bytes += length[i];
        sums.highest_address = std::max(sums.highest_address, address[i]);
        sums.writes += what == 2 ? 1 : 0;
    }
}

void scan(fs::path const& path, Range range, Sums& sums)
{
    auto const input = or_throw(arrow::io::ReadableFile::Open(path.string()));
    parquet::ArrowReaderProperties properties;
    properties.set_read_dictionary(kind_column, true);
    parquet::arrow::FileReaderBuilder builder;
    if (!builder.Open(input).ok())
        throw std::runtime_error{path.string() + " cannot be opened"};
    auto const reader = or_throw(builder.properties(properties)->Build());
    auto const& metadata = *reader->parquet_reader()->metadata();
    auto const groups = groups_in(metadata, range);
    if (groups.empty())
        return;
    std::vector<int> columns;
    for (char const* const name : {"time", "kind", "address", "length"})
        if (std::string_view{name} != "time" || range != Range{})
            columns.push_back(metadata.schema()->ColumnIndex(name));
    auto const batches = or_throw(reader->GetRecordBatchReader(groups, columns));
    for (std::shared_ptr<arrow::RecordBatch> batch;;) {
        if (!batches->ReadNext(&batch).ok())
            throw std::runtime_error{path.string() + " cannot be read"};
        if (!batch)
            return;
        add(*batch, range, sums);
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 2 && argc != 5) {
        std::cerr << "usage: uc_store_scan STORE [MACHINE FROM_NS TO_NS]\n";
        return 2;
    }
    auto const start = std::chrono::steady_clock::now();
    Range range;
    std::string machine;
    if (argc == 5) {
        machine = argv[2];
        range = {std::stoll(argv[3]), std::stoll(argv[4])};
    }
    std::vector<fs::path> files;
    for (auto const& entry : fs::directory_iterator{argv[1]})
        if (entry.path().filename().string().starts_with("machine=" + machine))
            for (auto const& file : fs::recursive_directory_iterator{entry.path()})
                if (file.path().extension() == ".parquet" && file.path().string().contains("/stream=storage/"))
                    files.push_back(file.path());
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    Sums all;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i)
        threads.emplace_back([&] {
            Sums own;
            for (std::size_t file = next++; file < files.size(); file = next++)
                scan(files[file], range, own);
            std::lock_guard const guard{mutex};
            all.rows += own.rows, all.read_rows += own.read_rows, all.bytes += own.bytes, all.writes += own.writes;
            all.highest_address = std::max(all.highest_address, own.highest_address);
        });
    for (std::thread& thread : threads)
        thread.join();
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    nlohmann::ordered_json const result{{"files", files.size()},      {"rows", all.rows},
                                        {"read_rows", all.read_rows}, {"bytes", all.bytes},
                                        {"writes", all.writes},       {"highest_address", all.highest_address},
                                        {"seconds", seconds}};
    std::cout << result.dump() << "\n";
    return 0;
}
