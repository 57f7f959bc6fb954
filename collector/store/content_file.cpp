// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/content_file.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <parquet/properties.h>

namespace undercroft::collector {
namespace {

constexpr std::int64_t row_group_bytes = std::int64_t{16} << 20;

std::shared_ptr<arrow::Schema> content_schema()
{
    return arrow::schema({
        arrow::field("hash", arrow::fixed_size_binary(32), false),
        arrow::field("data", arrow::binary(), false),
    });
}

std::shared_ptr<parquet::WriterProperties> content_properties()
{
    parquet::WriterProperties::Builder builder;
    return builder.compression(parquet::Compression::ZSTD)
        ->compression_level(1)
        ->created_by("undercroft")
        ->disable_dictionary()
        ->disable_statistics("data")
        ->build();
}

void load_hashes(fs::path const& path, HashIndex& known)
{
    auto const hashes = read_column(path, "hash");
    for (auto const& chunk : hashes->chunks()) {
        auto const& values = static_cast<arrow::FixedSizeBinaryArray const&>(*chunk);
        for (std::int64_t i = 0; i < values.length(); ++i) {
            ContentHash hash;
            std::copy_n(values.GetValue(i), hash.size(), hash.begin());
            known.insert(hash);
        }
    }
}

} // namespace

struct ContentFile::Columns {
    arrow::FixedSizeBinaryBuilder hash{arrow::fixed_size_binary(32)};
    arrow::BinaryBuilder data;
};

ContentFile::ContentFile(fs::path const& store, std::uint64_t segment, HashIndex& known)
    : path_{store / "content" / fmt::format("{:02x}", segment & 0xFF) / fmt::format("{:020}.parquet", segment)},
      known_{known}, columns_{std::make_unique<Columns>()}
{
}

ContentFile::~ContentFile() = default;

ContentFile::Added ContentFile::add(std::span<std::uint8_t const> block)
{
    ContentHash const hash = sha256(block.data(), block.size());
    std::lock_guard const guard{mutex_};
    if (known_.contains(hash) || !new_.insert(hash).second)
        return {hash, false};
    if (!file_)
        file_ = std::make_unique<ParquetFile>(path_.string() + std::string{part_suffix}, content_schema(),
                                              content_properties());
    check(columns_->hash.Append(hash.data()), path_);
    check(columns_->data.Append(block.data(), static_cast<std::int32_t>(block.size())), path_);
    if (columns_->data.value_data_length() >= row_group_bytes)
        flush();
    return {hash, true};
}

void ContentFile::flush()
{
    auto hashes = columns_->hash.Finish();
    check(hashes.status(), path_);
    auto data = columns_->data.Finish();
    check(data.status(), path_);
    file_->write(*arrow::Table::Make(content_schema(), {*hashes, *data}));
}

std::optional<fs::path> ContentFile::publish()
{
    if (!file_)
        return std::nullopt;
    if (columns_->hash.length() > 0)
        flush();
    file_->publish(path_);
    for (ContentHash const& hash : new_)
        known_.insert(hash);
    return path_;
}

std::uint64_t load_content_index(fs::path const& store, HashIndex& known)
{
    std::uint64_t highest = 0;
    fs::path const folder = store / "content";
    if (!fs::exists(folder))
        return highest;
    for (auto const& entry : fs::recursive_directory_iterator{folder}) {
        std::string const name = entry.path().filename();
        std::uint64_t number = 0;
        auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error != std::errc{} || std::string_view{end} != ".parquet")
            continue;
        highest = std::max(highest, number);
        load_hashes(entry.path(), known);
    }
    return highest;
}

} // namespace undercroft::collector
