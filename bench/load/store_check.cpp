// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// uc_store_check STORE SUMMARY: the store holds what uc_sensor_load says it sent, each record exactly once, with its
// content, and gap rows for exactly what was left out. Reads with Arrow alone. With --may-miss, records may be missing
// where gap rows marked "lost on the way" say so; with --prefix, a sensor's records may end early (the load was cut
// off).
#include <openssl/evp.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <nlohmann/json.hpp>
#include <parquet/arrow/reader.h>

#include "collector/tests/generator/records.hpp"

namespace {

namespace fs = std::filesystem;
using namespace undercroft;
using Hash = std::string;

struct Problem : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Totals {
    std::uint64_t rows = 0;
    std::uint64_t gap_records = 0;
    std::uint64_t lost_on_the_way = 0;
    std::uint64_t files = 0;
    std::uint64_t file_bytes = 0;
    std::uint64_t blocks = 0;
};

Hash sha256(std::span<std::uint8_t const> bytes)
{
    Hash hash(32, '\0');
    EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(hash.data()), nullptr, EVP_sha256(),
               nullptr);
    return hash;
}

void read_file(fs::path const& path, std::function<void(arrow::RecordBatch const&)> const& visit)
{
    auto const input = arrow::io::ReadableFile::Open(path.string());
    if (!input.ok())
        throw Problem{path.string() + ": " + input.status().ToString()};
    auto reader = parquet::arrow::OpenFile(*input, arrow::default_memory_pool());
    if (!reader.ok())
        throw Problem{path.string() + ": " + reader.status().ToString()};
    auto batches = (*reader)->GetRecordBatchReader();
    if (!batches.ok())
        throw Problem{path.string() + ": " + batches.status().ToString()};
    for (;;) {
        std::shared_ptr<arrow::RecordBatch> batch;
        auto const status = (*batches)->ReadNext(&batch);
        if (!status.ok())
            throw Problem{path.string() + ": " + status.ToString()};
        if (!batch)
            return;
        visit(*batch);
    }
}

template <typename Array>
Array const& column(arrow::RecordBatch const& batch, char const* name)
{
    auto const array = batch.GetColumnByName(name);
    if (!array)
        throw Problem{std::string{"no column "} + name};
    if (auto const* const typed = dynamic_cast<Array const*>(array.get()))
        return *typed;
    throw Problem{std::string{"column "} + name + " is " + array->type()->ToString()};
}

/// Every block's data has the hash that it is filed under, and none is there twice.
std::set<Hash> read_blocks(fs::path const& store, Totals& totals)
{
    std::set<Hash> hashes;
    if (!fs::exists(store / "content"))
        return hashes;
    for (auto const& entry : fs::recursive_directory_iterator{store / "content"}) {
        if (entry.path().extension() != ".parquet")
            continue;
        read_file(entry.path(), [&](arrow::RecordBatch const& batch) {
            auto const& hash = column<arrow::FixedSizeBinaryArray>(batch, "hash");
            auto const& data = column<arrow::BinaryArray>(batch, "data");
            for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
                std::string_view const block = data.GetView(i);
                if (sha256({reinterpret_cast<std::uint8_t const*>(block.data()), block.size()}) != hash.GetView(i))
                    throw Problem{entry.path().string() + ": a block is not what its hash says"};
                if (!hashes.emplace(hash.GetView(i)).second)
                    throw Problem{entry.path().string() + ": a block is stored twice"};
            }
        });
    }
    totals.blocks = hashes.size();
    return hashes;
}

class SensorCheck {
public:
    SensorCheck(nlohmann::json const& summary, nlohmann::json const& sensor, std::set<Hash> const& blocks,
                bool may_miss, Totals& totals)
        : blocks_{blocks}, may_miss_{may_miss}, totals_{totals}
    {
        rules_.shape = summary.at("shape") == "headers" ? generator::Shape::headers : generator::Shape::blocks;
        rules_.distinct_blocks = summary.at("distinct");
        rules_.base_time_utc_ns = summary.at("base_time_utc_ns");
        rules_.seed = sensor.at("seed");
        for (auto const& gap : sensor.at("gaps"))
            gaps_.emplace(gap.at(0), gap.at(1));
    }

    void take(arrow::RecordBatch const& batch)
    {
        auto const& sequence = column<arrow::UInt64Array>(batch, "seq");
        auto const& kind = column<arrow::StringArray>(batch, "kind");
        auto const& length = column<arrow::UInt32Array>(batch, "length");
        auto const& flags = column<arrow::UInt16Array>(batch, "flags");
        for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
            if (sequence.Value(i) != next_)
                throw Problem{"seq " + std::to_string(sequence.Value(i)) + " comes after everything below " +
                              std::to_string(next_)};
            if (kind.GetView(i) == "gap")
                take_gap(sequence.Value(i), length.Value(i), flags.Value(i));
            else
                take_row(batch, i);
        }
    }

    [[nodiscard]] std::uint64_t next() const { return next_; }

private:
    void take_gap(std::uint64_t first, std::uint32_t missing, std::uint16_t flags)
    {
        bool const on_the_way = (flags & 0x8000U) != 0;
        auto const known = gaps_.find(first);
        if (on_the_way ? !may_miss_ : known == gaps_.end() || known->second != missing)
            throw Problem{"a gap of " + std::to_string(missing) + " at " + std::to_string(first) + " that nobody made"};
        next_ += missing;
        totals_.gap_records += missing;
        if (on_the_way)
            totals_.lost_on_the_way += missing;
    }

    void take_row(arrow::RecordBatch const& batch, std::int64_t i)
    {
        wire::Record const wanted = generator::record_at(rules_, next_);
        bool const write = wanted.kind.get() == static_cast<std::uint8_t>(wire::Kind::storage_write);
        auto const& entropy = column<arrow::FloatArray>(batch, "entropy");
        bool good = column<arrow::TimestampArray>(batch, "time").Value(i) ==
                        static_cast<std::int64_t>(wanted.time_utc_ns.get()) &&
                    column<arrow::StringArray>(batch, "kind").GetView(i) == (write ? "write" : "read") &&
                    column<arrow::UInt64Array>(batch, "address").Value(i) == wanted.address.get() &&
                    column<arrow::UInt32Array>(batch, "length").Value(i) == wanted.length.get() &&
                    column<arrow::UInt16Array>(batch, "source").Value(i) == wanted.source.get() &&
                    column<arrow::UInt16Array>(batch, "flags").Value(i) == wanted.flags.get() &&
                    entropy.IsValid(i) == write &&
                    (!write || entropy.Value(i) == static_cast<float>(wanted.entropy.get()) / 65535.0F);
        auto const& content = column<arrow::FixedSizeBinaryArray>(batch, "content");
        bool const has_content = wanted.content_bytes.get() != 0;
        good = good && content.IsValid(i) == has_content;
        if (good && has_content)
            good = content.GetView(i) == hash_of(next_) && blocks_.contains(Hash{content.GetView(i)});
        if (!good)
            throw Problem{"record " + std::to_string(next_) + " is not what was sent, or its content is missing"};
        ++next_;
        ++totals_.rows;
    }

    [[nodiscard]] Hash const& hash_of(std::uint64_t sequence)
    {
        std::uint64_t const block = generator::splitmix64(rules_.seed + sequence) % rules_.distinct_blocks;
        Hash& hash = hashes_[block];
        if (hash.empty()) {
            std::vector<std::uint8_t> bytes(wire::content_block_bytes);
            generator::write_content(rules_, sequence, bytes);
            hash = sha256(bytes);
        }
        return hash;
    }

    generator::RecordRules rules_;
    std::set<Hash> const& blocks_;
    bool may_miss_;
    Totals& totals_;
    std::map<std::uint64_t, std::uint32_t> gaps_;
    std::map<std::uint64_t, Hash> hashes_;
    std::uint64_t next_ = 0;
};

void check_sensor(fs::path const& stream, nlohmann::json const& sensor, bool prefix, SensorCheck check, Totals& totals)
{
    std::map<std::string, fs::path> files; // by name: by first sequence number
    if (fs::exists(stream))
        for (auto const& entry : fs::recursive_directory_iterator{stream})
            if (entry.path().extension() == ".parquet")
                files.emplace(entry.path().filename(), entry.path());
    for (auto const& [name, path] : files) {
        try {
            if (std::stoull(name) != check.next())
                throw Problem{"it should begin with " + std::to_string(check.next())};
            read_file(path, [&](arrow::RecordBatch const& batch) { check.take(batch); });
            if (std::stoull(name.substr(21)) + 1 != check.next())
                throw Problem{"it ends before " + std::to_string(check.next())};
        } catch (Problem const& problem) {
            throw Problem{path.string() + ": " + problem.what()};
        }
        ++totals.files;
        totals.file_bytes += fs::file_size(path);
    }
    std::uint64_t const end = sensor.at("next_sequence");
    if (prefix ? check.next() > end : check.next() != end)
        throw Problem{stream.string() + " ends at " + std::to_string(check.next()) + " of " + std::to_string(end)};
}

std::vector<std::string> leftovers(fs::path const& store)
{
    std::vector<std::string> found;
    for (auto const& entry : fs::recursive_directory_iterator{store})
        if (entry.path().extension() == ".part" || entry.path().extension() == ".journal" ||
            entry.path().extension() == ".damaged")
            found.push_back(entry.path().string());
    return found;
}

} // namespace

int main(int argc, char** argv)
{
    std::vector<std::string> const arguments{argv + 1, argv + argc};
    auto const has = [&](char const* flag) { return std::ranges::find(arguments, flag) != arguments.end(); };
    if (arguments.size() < 2) {
        std::cerr << "usage: uc_store_check STORE SUMMARY [--may-miss] [--prefix]\n";
        return 2;
    }
    int problems = 0;
    Totals totals;
    fs::path const store = arguments[0];
    auto const complain = [&](std::string const& text) {
        if (++problems <= 20)
            std::cout << "WRONG: " << text << "\n";
    };
    std::set<Hash> blocks;
    nlohmann::json const summary = nlohmann::json::parse(std::ifstream{arguments[1]});
    try {
        blocks = read_blocks(store, totals);
    } catch (Problem const& problem) {
        complain(problem.what());
    }
    for (auto const& sensor : summary.at("sensors")) {
        try {
            fs::path const stream = store / ("machine=" + sensor.at("machine").get<std::string>()) /
                                    ("boot=" + sensor.at("boot").get<std::string>()) / "stream=storage";
            check_sensor(stream, sensor, has("--prefix"),
                         SensorCheck{summary, sensor, blocks, has("--may-miss"), totals}, totals);
        } catch (Problem const& problem) {
            complain(problem.what());
        }
    }
    for (std::string const& path : leftovers(store))
        complain("left behind: " + path);
    nlohmann::ordered_json const result{{"problems", problems},
                                        {"rows", totals.rows},
                                        {"gap_records", totals.gap_records},
                                        {"lost_on_the_way", totals.lost_on_the_way},
                                        {"record_files", totals.files},
                                        {"record_file_bytes", totals.file_bytes},
                                        {"content_blocks", totals.blocks}};
    std::cout << result.dump() << "\n";
    return problems == 0 ? 0 : 1;
}
