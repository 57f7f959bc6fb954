// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/tests/store_reading.hpp"

namespace undercroft::collector::test {
namespace {

template <typename Array>
std::shared_ptr<Array> column(fs::path const& path, std::string const& name)
{
    auto const values = read_column(path, name);
    auto const joined = arrow::Concatenate(values->chunks());
    check(joined.status(), path);
    return std::static_pointer_cast<Array>(*joined);
}

ContentHash hash_at(arrow::FixedSizeBinaryArray const& values, std::int64_t index)
{
    ContentHash hash;
    std::copy_n(values.GetValue(index), hash.size(), hash.begin());
    return hash;
}

void read_records(fs::path const& path, StoreContents& contents)
{
    auto const sequence = column<arrow::UInt64Array>(path, "seq");
    auto const kind = column<arrow::StringArray>(path, "kind");
    auto const length = column<arrow::UInt32Array>(path, "length");
    auto const flags = column<arrow::UInt16Array>(path, "flags");
    auto const slot = column<arrow::UInt64Array>(path, "slot");
    auto const content = column<arrow::FixedSizeBinaryArray>(path, "content");
    for (std::int64_t i = 0; i < sequence->length(); ++i) {
        StoredRow row{kind->GetString(i), length->Value(i), flags->Value(i), slot->Value(i), {}};
        if (content->IsValid(i))
            row.content = hash_at(*content, i);
        contents.rows.emplace(sequence->Value(i), row);
    }
}

void read_blocks(fs::path const& path, StoreContents& contents)
{
    auto const hash = column<arrow::FixedSizeBinaryArray>(path, "hash");
    auto const data = column<arrow::BinaryArray>(path, "data");
    for (std::int64_t i = 0; i < hash->length(); ++i)
        contents.blocks.emplace(hash_at(*hash, i), data->GetString(i));
}

} // namespace

StoreContents read_store(fs::path const& store)
{
    StoreContents contents;
    for (auto const& entry : fs::recursive_directory_iterator{store}) {
        fs::path const& path = entry.path();
        if (path.extension() == ".part")
            ++contents.parts;
        else if (path.extension() == ".journal")
            ++contents.segments;
        else if (path.extension() == ".parquet" && path.string().contains("/content/"))
            read_blocks(path, contents);
        else if (path.extension() == ".parquet")
            read_records(path, contents);
    }
    return contents;
}

} // namespace undercroft::collector::test
