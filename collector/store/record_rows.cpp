// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/record_rows.hpp"

#include <algorithm>
#include <array>

#include <parquet/properties.h>

namespace undercroft::collector {
namespace {

struct KindName {
    wire::Kind kind;
    std::string_view name;
};
constexpr std::array kind_names{
    KindName{wire::Kind::storage_read, "read"},
    KindName{wire::Kind::storage_write, "write"},
    KindName{wire::Kind::storage_flush, "flush"},
    KindName{wire::Kind::storage_trim, "trim"},
    KindName{wire::Kind::capture_off, "capture_off"},
    KindName{wire::Kind::capture_on, "capture_on"},
    KindName{wire::Kind::memory_read, "memory_read"},
    KindName{wire::Kind::memory_write, "memory_write"},
    KindName{wire::Kind::memory_read_write, "memory_read_write"},
    KindName{wire::Kind::memory_execute, "memory_execute"},
    KindName{wire::Kind::memory_page, "memory_page"},
    KindName{wire::Kind::memory_mode, "memory_mode"},
    KindName{wire::Kind::memory_region, "memory_region"},
    KindName{wire::Kind::memory_armed, "memory_armed"},
    KindName{wire::Kind::memory_disarmed, "memory_disarmed"},
    KindName{wire::Kind::memory_sweep_begin, "memory_sweep_begin"},
    KindName{wire::Kind::memory_sweep_end, "memory_sweep_end"},
    KindName{wire::Kind::memory_scanned, "memory_scanned"},
};
constexpr std::int8_t gap_index = kind_names.size();
constexpr std::int8_t unknown_index = gap_index + 1; // slots with other kinds are refused before they get here

constexpr std::array<std::int8_t, 256> make_kind_index()
{
    std::array<std::int8_t, 256> index{};
    index.fill(unknown_index);
    for (std::size_t i = 0; i < kind_names.size(); ++i)
        index[static_cast<std::size_t>(kind_names[i].kind)] = static_cast<std::int8_t>(i);
    return index;
}
constexpr auto kind_index = make_kind_index();

std::shared_ptr<arrow::Array> kind_dictionary()
{
    static std::shared_ptr<arrow::Array> const dictionary = [] {
        arrow::StringBuilder builder;
        for (KindName const& kind : kind_names)
            static_cast<void>(builder.Append(kind.name));
        static_cast<void>(builder.Append("gap"));
        static_cast<void>(builder.Append("unknown"));
        return builder.Finish().ValueOrDie();
    }();
    return dictionary;
}

template <typename Value>
std::shared_ptr<arrow::Array> array_of(std::shared_ptr<arrow::DataType> type, std::vector<Value> const& values,
                                       std::shared_ptr<arrow::Buffer> valid = nullptr, std::int64_t nulls = 0)
{
    auto const data = arrow::ArrayData::Make(std::move(type), static_cast<std::int64_t>(values.size()),
                                             {std::move(valid), arrow::Buffer::Wrap(values)}, nulls);
    return arrow::MakeArray(data);
}

/// No content in any row; one small array, many times.
std::shared_ptr<arrow::ChunkedArray> no_content(std::int64_t rows)
{
    constexpr std::int64_t piece = 4096;
    static std::shared_ptr<arrow::Array> const nothing =
        arrow::MakeArrayOfNull(arrow::fixed_size_binary(32), piece).ValueOrDie();
    arrow::ArrayVector pieces;
    for (std::int64_t left = rows; left > 0; left -= piece)
        pieces.push_back(left < piece ? nothing->Slice(0, left) : nothing);
    return std::make_shared<arrow::ChunkedArray>(pieces, nothing->type());
}

void set_bit(std::vector<std::uint8_t>& bits, std::size_t index, bool value)
{
    if (index % 8 == 0)
        bits.push_back(0);
    bits.back() = static_cast<std::uint8_t>(bits.back() | (value ? 1U : 0U) << (index % 8));
}

} // namespace

std::shared_ptr<arrow::Schema> record_schema(wire::Stream stream)
{
    arrow::FieldVector fields{
        arrow::field("seq", arrow::uint64(), false),
        arrow::field("time", arrow::timestamp(arrow::TimeUnit::NANO, "UTC"), false),
        arrow::field("kind", arrow::dictionary(arrow::int8(), arrow::utf8()), false),
        arrow::field("address", arrow::uint64(), false),
        arrow::field("length", arrow::uint32(), false),
    };
    for (auto const& field : {
             arrow::field("source", arrow::uint16(), false),
             arrow::field("entropy", arrow::float32(), true),
             arrow::field("flags", arrow::uint16(), false),
             arrow::field("content", arrow::fixed_size_binary(32), true),
             arrow::field("slot", arrow::uint64(), false),
         })
        fields.push_back(field);
    if (stream == wire::Stream::memory) {
        fields.push_back(arrow::field("page_class", arrow::uint8(), false));
        fields.push_back(arrow::field("request", arrow::utf8(), true));
    }
    return arrow::schema(fields);
}

std::shared_ptr<parquet::WriterProperties> record_properties()
{
    parquet::WriterProperties::Builder builder;
    builder.compression(parquet::Compression::ZSTD)->compression_level(1)->created_by("undercroft");
    builder.enable_write_page_index();
    builder.max_row_group_length(std::int64_t{1} << 30); // row groups are cut by RecordFile
    for (char const* const rising : {"seq", "time", "slot", "address"})
        builder.disable_dictionary(rising)->encoding(rising, parquet::Encoding::DELTA_BINARY_PACKED);
    // Entropies hardly repeat: a dictionary of them would be as long as they are.
    builder.disable_dictionary("entropy")->compression_level("entropy", 3);
    builder.disable_dictionary("content");
    builder.set_sorting_columns({parquet::SortingColumn{.column_idx = 0, .descending = false, .nulls_first = false}});
    return builder.build();
}

void RecordRows::add(wire::Record const& record, std::uint64_t sequence, std::uint64_t slot,
                     std::optional<ContentHash> const& content, std::string_view request)
{
    std::size_t const row = size();
    std::uint16_t const flags = static_cast<std::uint16_t>(record.flags.get() & ~flag_lost_in_transit);
    bool const has_entropy = (flags & wire::record_flag::has_entropy) != 0;
    sequence_.push_back(sequence);
    time_.push_back(static_cast<std::int64_t>(record.time_utc_ns.get()));
    kind_.push_back(kind_index[record.kind.get()]);
    address_.push_back(record.address.get());
    length_.push_back(record.length.get());
    if (stream_ == wire::Stream::memory)
        page_class_.push_back(record.page_class.get());
    if (!request.empty())
        requests_.emplace_back(row, request);
    source_.push_back(record.source.get());
    entropy_.push_back(has_entropy ? static_cast<float>(record.entropy.get()) / 65535.0F : 0.0F);
    set_bit(entropy_bits_, row, has_entropy);
    with_entropy_ += has_entropy ? 1 : 0;
    flags_.push_back(flags);
    // Hashes are few in streams of headers; the column is filled up when the first one comes.
    if (content) {
        content_.resize(row);
        content_.push_back(*content);
        ++with_content_;
    }
    set_bit(content_bits_, row, content.has_value());
    slot_.push_back(slot);
}

void RecordRows::add_gap(std::uint64_t first, std::uint32_t missing, bool in_transit, std::int64_t time_utc_ns,
                         std::uint64_t slot)
{
    wire::Record record{};
    record.time_utc_ns = static_cast<std::uint64_t>(time_utc_ns);
    record.address = first;
    record.length = missing;
    add(record, first, slot, std::nullopt);
    kind_.back() = gap_index;
    flags_.back() = in_transit ? flag_lost_in_transit : std::uint16_t{0};
}

std::shared_ptr<arrow::ChunkedArray> RecordRows::content_column()
{
    auto const rows = static_cast<std::int64_t>(size());
    if (with_content_ == 0)
        return no_content(rows);
    content_.resize(size());
    return std::make_shared<arrow::ChunkedArray>(
        array_of(arrow::fixed_size_binary(32), content_, arrow::Buffer::Wrap(content_bits_), rows - with_content_));
}

std::shared_ptr<arrow::Table> RecordRows::table()
{
    auto const rows = static_cast<std::int64_t>(size());
    auto const kind_type = arrow::dictionary(arrow::int8(), arrow::utf8());
    arrow::ChunkedArrayVector columns;
    auto const put = [&columns](std::shared_ptr<arrow::Array> column) {
        columns.push_back(std::make_shared<arrow::ChunkedArray>(std::move(column)));
    };
    put(array_of(arrow::uint64(), sequence_));
    put(array_of(arrow::timestamp(arrow::TimeUnit::NANO, "UTC"), time_));
    put(std::make_shared<arrow::DictionaryArray>(kind_type, array_of(arrow::int8(), kind_), kind_dictionary()));
    put(array_of(arrow::uint64(), address_));
    put(array_of(arrow::uint32(), length_));
    put(array_of(arrow::uint16(), source_));
    put(array_of(arrow::float32(), entropy_, arrow::Buffer::Wrap(entropy_bits_), rows - with_entropy_));
    put(array_of(arrow::uint16(), flags_));
    columns.push_back(content_column());
    put(array_of(arrow::uint64(), slot_));
    if (stream_ == wire::Stream::memory) {
        put(array_of(arrow::uint8(), page_class_));
        put(request_column());
    }
    return arrow::Table::Make(record_schema(stream_), std::move(columns), rows);
}

std::shared_ptr<arrow::Array> RecordRows::request_column() const
{
    arrow::StringBuilder builder;
    for (auto const& [row, text] : requests_) {
        static_cast<void>(builder.AppendNulls(static_cast<std::int64_t>(row) - builder.length()));
        static_cast<void>(builder.Append(text));
    }
    static_cast<void>(builder.AppendNulls(static_cast<std::int64_t>(size()) - builder.length()));
    return builder.Finish().ValueOrDie();
}

void RecordRows::clear()
{
    for (auto* const numbers : {&sequence_, &address_, &slot_})
        numbers->clear();
    time_.clear();
    kind_.clear();
    length_.clear();
    page_class_.clear();
    requests_.clear();
    source_.clear();
    entropy_.clear();
    entropy_bits_.clear();
    flags_.clear();
    content_.clear();
    content_bits_.clear();
    with_entropy_ = with_content_ = 0;
}

} // namespace undercroft::collector
