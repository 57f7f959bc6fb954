// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/api/content_search.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include <openssl/evp.h>

#include "analysis/read/content.hpp"
#include "analysis/read/parquet_file.hpp"

namespace undercroft::serve {
namespace fs = std::filesystem;
namespace {

std::int64_t written_ns(fs::path const& file)
{
    std::error_code ignored;
    auto const time = fs::last_write_time(file, ignored);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               fs::file_time_type::clock::to_sys(time).time_since_epoch())
        .count();
}

bool is_hash(arrow::DataType const& type)
{
    return type.id() == arrow::Type::FIXED_SIZE_BINARY &&
           static_cast<arrow::FixedSizeBinaryType const&>(type).byte_width() == 32;
}

std::int64_t row_of(arrow::RecordBatch const& batch, analysis::Hash const& hash)
{
    auto const& hashes = static_cast<arrow::FixedSizeBinaryArray const&>(*batch.column(0));
    for (std::int64_t row = 0; row < batch.num_rows(); ++row)
        if (hashes.IsValid(row) && std::memcmp(hashes.GetValue(row), hash.data(), hash.size()) == 0)
            return row;
    return -1;
}

std::optional<std::string> find_in(analysis::ParquetFile const& file, int group, analysis::Hash const& hash)
{
    bool there = false;
    file.read({"hash"}, {group}, [&](arrow::RecordBatch const& batch) {
        there = row_of(batch, hash) >= 0;
        return !there;
    });
    if (!there)
        return std::nullopt;
    std::optional<std::string> data;
    file.read({"hash", "data"}, {group}, [&](arrow::RecordBatch const& batch) {
        std::int64_t const row = row_of(batch, hash);
        if (row >= 0)
            data = std::string{static_cast<arrow::BinaryArray const&>(*batch.column(1)).GetView(row)};
        return row < 0;
    });
    return data;
}

void check(analysis::ParquetFile const& file, std::string const& data, analysis::Hash const& hash)
{
    analysis::Hash found{};
    if (data.size() > analysis::most_block_bytes ||
        EVP_Digest(data.data(), data.size(), found.data(), nullptr, EVP_sha256(), nullptr) != 1 || found != hash)
        file.fail("damaged: column 'data' does not match hash " + analysis::to_hex(hash));
}

} // namespace

std::optional<analysis::Hash> analysis_hash(std::string_view hex)
{
    analysis::Hash hash{};
    constexpr std::string_view digits = "0123456789abcdef";
    if (hex.size() != 2 * hash.size() || hex.find_first_not_of(digits) != std::string_view::npos)
        return std::nullopt;
    for (std::size_t i = 0; i < hash.size(); ++i)
        hash.at(i) = static_cast<std::uint8_t>(digits.find(hex[2 * i]) << 4 | digits.find(hex[2 * i + 1]));
    return hash;
}

std::optional<std::string> find_content(fs::path const& store, analysis::Hash const& hash, std::int64_t near_ns)
{
    std::vector<fs::path> files = analysis::list_content_files(store);
    std::ranges::sort(files, {}, [&](fs::path const& file) { return std::abs(written_ns(file) - near_ns); });
    for (fs::path const& path : files) {
        analysis::ParquetFile const file{path};
        file.require("hash", "fixed_size_binary[32]", is_hash);
        file.require("data", "binary", [](arrow::DataType const& type) { return type.id() == arrow::Type::BINARY; });
        for (int group = 0; group < file.row_groups(); ++group) {
            if (auto data = find_in(file, group, hash)) {
                check(file, *data, hash);
                return data;
            }
        }
    }
    return std::nullopt;
}

} // namespace undercroft::serve
