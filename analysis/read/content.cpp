// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/read/content.hpp"

#include <map>
#include <set>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "analysis/read/error.hpp"
#include "analysis/read/parquet_file.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t batch_rows = 65536;
constexpr std::size_t batch_blocks = 32768; // 128 MiB of content

ParquetFile open_content(std::filesystem::path const& path)
{
    ParquetFile file{path};
    file.require("hash", "fixed_size_binary[32]", [](arrow::DataType const& type) {
        return type.id() == arrow::Type::FIXED_SIZE_BINARY &&
               static_cast<arrow::FixedSizeBinaryType const&>(type).byte_width() == 32;
    });
    file.require("data", "binary", [](arrow::DataType const& type) { return type.id() == arrow::Type::BINARY; });
    return file;
}

Hash hash_at(arrow::Array const& array, std::int64_t row)
{
    Hash hash{};
    std::memcpy(hash.data(), static_cast<arrow::FixedSizeBinaryArray const&>(array).GetValue(row), hash.size());
    return hash;
}

Hash sha256(std::string_view data)
{
    Hash hash{};
    if (EVP_Digest(data.data(), data.size(), hash.data(), nullptr, EVP_sha256(), nullptr) != 1)
        throw Error{"SHA-256 is not available in OpenSSL"};
    return hash;
}

void load_groups(ParquetFile const& file, std::vector<int> const& groups, HashSet const& wanted, Blocks& blocks)
{
    file.read({"hash", "data"}, groups, [&](arrow::RecordBatch const& batch) {
        require_no_nulls(file, batch, 0);
        require_no_nulls(file, batch, 1);
        for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
            Hash const hash = hash_at(*batch.column(0), row);
            if (!wanted.contains(hash))
                continue;
            std::string_view const data = static_cast<arrow::BinaryArray const&>(*batch.column(1)).GetView(row);
            if (data.size() > most_block_bytes)
                file.fail(
                    fmt::format("column 'data': block {} is longer than {} bytes", to_hex(hash), most_block_bytes));
            if (sha256(data) != hash)
                file.fail(fmt::format("damaged: column 'data' does not match hash {}", to_hex(hash)));
            blocks.insert_or_assign(hash, std::string{data});
        }
        return true;
    });
}

} // namespace

std::string to_hex(Hash const& hash)
{
    std::string text;
    for (std::uint8_t const byte : hash)
        text += fmt::format("{:02x}", byte);
    return text;
}

ContentStore::ContentStore(std::filesystem::path const& store) : files_{list_content_files(store)}
{
    for (std::size_t i = 0; i < files_.size(); ++i) {
        ParquetFile const file = open_content(files_[i]);
        for (int group = 0; group < file.row_groups(); ++group) {
            file.read({"hash"}, {group}, [&](arrow::RecordBatch const& batch) {
                require_no_nulls(file, batch, 0);
                for (std::int64_t row = 0; row < batch.num_rows(); ++row)
                    places_.try_emplace(hash_at(*batch.column(0), row), static_cast<std::uint32_t>(i),
                                        static_cast<std::uint32_t>(group));
                return true;
            });
        }
    }
}

Hash const* ContentStore::find(Hash const& hash) const
{
    auto const found = places_.find(hash);
    return found == places_.end() ? nullptr : &found->first;
}

Blocks ContentStore::load(HashSet const& hashes) const
{
    std::map<std::uint32_t, std::set<int>> groups_of_file;
    for (Hash const& hash : hashes) {
        if (auto const found = places_.find(hash); found != places_.end())
            groups_of_file[found->second.file].insert(static_cast<int>(found->second.row_group));
    }
    Blocks blocks;
    for (auto const& [index, groups] : groups_of_file) {
        load_groups(open_content(files_[index]), {groups.begin(), groups.end()}, hashes, blocks);
    }
    return blocks;
}

ScanResult scan_with_content(std::vector<RecordFile> const& files, Columns columns, RecordFilter const& filter,
                             ContentStore const& content,
                             std::function<Visit(RecordRow const&, std::string const*)> const& visit)
{
    struct Waiting {
        RecordRow row;
        Hash hash;
    };
    std::vector<Waiting> waiting;
    HashSet hashes;
    bool stopped = false;
    auto const flush = [&] {
        Blocks const blocks = content.load(hashes);
        for (Waiting& entry : waiting) {
            auto const found = entry.row.content != nullptr ? blocks.find(entry.hash) : blocks.end();
            if (entry.row.content != nullptr)
                entry.row.content = &entry.hash;
            stopped = visit(entry.row, found == blocks.end() ? nullptr : &found->second) == Visit::stop;
            if (stopped)
                break;
        }
        waiting.clear();
        hashes.clear();
    };
    columns.content = true;
    ScanResult result = scan_records(files, columns, filter, [&](RecordRow const& row) {
        waiting.push_back({.row = row, .hash = row.content != nullptr ? *row.content : Hash{}});
        waiting.back().row.request = {}; // valid during the call only
        if (row.content != nullptr)
            hashes.insert(*row.content);
        if (waiting.size() >= batch_rows || hashes.size() >= batch_blocks)
            flush();
        return stopped ? Visit::stop : Visit::next;
    });
    if (!stopped)
        flush();
    return result;
}

} // namespace undercroft::analysis
