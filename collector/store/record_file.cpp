// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/record_file.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>

#include <fmt/format.h>

namespace undercroft::collector {
namespace {

constexpr std::int64_t row_group_rows = 65536;

std::shared_ptr<arrow::Schema> record_schema(wire::Stream stream)
{
    arrow::FieldVector fields{
        arrow::field("seq", arrow::uint64(), false),
        arrow::field("time", arrow::timestamp(arrow::TimeUnit::NANO, "UTC"), false),
        arrow::field("kind", arrow::utf8(), false),
        arrow::field("address", arrow::uint64(), false),
        arrow::field("length", arrow::uint32(), false),
        arrow::field("source", arrow::uint16(), false),
        arrow::field("entropy", arrow::float32(), true),
        arrow::field("flags", arrow::uint16(), false),
        arrow::field("content", arrow::fixed_size_binary(32), true),
        arrow::field("slot", arrow::uint64(), false),
    };
    if (stream == wire::Stream::memory) {
        fields.push_back(arrow::field("page_class", arrow::uint8(), false));
        fields.push_back(arrow::field("request", arrow::utf8(), true));
    }
    return arrow::schema(std::move(fields));
}

std::string date_of(std::int64_t time_utc_ns)
{
    using namespace std::chrono;
    year_month_day const date{floor<days>(sys_time<nanoseconds>{nanoseconds{time_utc_ns}})};
    return fmt::format("{:04}-{:02}-{:02}", int{date.year()}, unsigned{date.month()}, unsigned{date.day()});
}

std::string_view kind_name(std::uint8_t kind)
{
    switch (static_cast<wire::Kind>(kind)) {
    case wire::Kind::storage_read:
        return "read";
    case wire::Kind::storage_write:
        return "write";
    case wire::Kind::storage_flush:
        return "flush";
    case wire::Kind::storage_trim:
        return "trim";
    case wire::Kind::capture_off:
        return "capture_off";
    case wire::Kind::capture_on:
        return "capture_on";
    case wire::Kind::memory_read:
        return "memory_read";
    case wire::Kind::memory_write:
        return "memory_write";
    case wire::Kind::memory_read_write:
        return "memory_read_write";
    case wire::Kind::memory_execute:
        return "memory_execute";
    case wire::Kind::memory_page:
        return "memory_page";
    case wire::Kind::memory_mode:
        return "memory_mode";
    case wire::Kind::memory_region:
        return "memory_region";
    case wire::Kind::memory_armed:
        return "memory_armed";
    case wire::Kind::memory_disarmed:
        return "memory_disarmed";
    case wire::Kind::memory_sweep_begin:
        return "memory_sweep_begin";
    case wire::Kind::memory_sweep_end:
        return "memory_sweep_end";
    case wire::Kind::memory_scanned:
        return "memory_scanned";
    }
    return "unknown"; // slots with other kinds are refused before they get here
}

struct FileRange {
    std::uint64_t first;
    std::uint64_t last;
};

/// From "<20 digits>-<20 digits>.parquet".
std::optional<FileRange> range_of(std::string const& name)
{
    if (name.size() != 49 || name[20] != '-' || name.substr(41) != ".parquet")
        return std::nullopt;
    FileRange range{};
    auto const first = std::from_chars(name.data(), name.data() + 20, range.first);
    auto const last = std::from_chars(name.data() + 21, name.data() + 41, range.last);
    if (first.ptr != name.data() + 20 || last.ptr != name.data() + 41)
        return std::nullopt;
    return range;
}

} // namespace

struct RecordFile::Columns {
    arrow::UInt64Builder sequence;
    arrow::TimestampBuilder time{arrow::timestamp(arrow::TimeUnit::NANO, "UTC"), arrow::default_memory_pool()};
    arrow::StringBuilder kind;
    arrow::UInt64Builder address;
    arrow::UInt32Builder length;
    arrow::UInt16Builder source;
    arrow::FloatBuilder entropy;
    arrow::UInt16Builder flags;
    arrow::FixedSizeBinaryBuilder content{arrow::fixed_size_binary(32)};
    arrow::UInt64Builder slot;
    arrow::UInt8Builder page_class;
    arrow::StringBuilder request;

    arrow::Status append(RecordRow const& row)
    {
        ARROW_RETURN_NOT_OK(sequence.Append(row.sequence));
        ARROW_RETURN_NOT_OK(time.Append(row.time_utc_ns));
        ARROW_RETURN_NOT_OK(kind.Append(row.kind));
        ARROW_RETURN_NOT_OK(address.Append(row.address));
        ARROW_RETURN_NOT_OK(length.Append(row.length));
        ARROW_RETURN_NOT_OK(source.Append(row.source));
        ARROW_RETURN_NOT_OK(row.entropy ? entropy.Append(*row.entropy) : entropy.AppendNull());
        ARROW_RETURN_NOT_OK(flags.Append(row.flags));
        ARROW_RETURN_NOT_OK(row.content ? content.Append(row.content->data()) : content.AppendNull());
        ARROW_RETURN_NOT_OK(slot.Append(row.slot));
        ARROW_RETURN_NOT_OK(page_class.Append(row.page_class));
        return row.request ? request.Append(*row.request) : request.AppendNull();
    }

    /// Those of the schema's columns that come last are left out when it has none of them.
    arrow::Result<arrow::ArrayVector> finish(int columns)
    {
        arrow::ArrayVector arrays;
        for (arrow::ArrayBuilder* builder :
             {static_cast<arrow::ArrayBuilder*>(&sequence), static_cast<arrow::ArrayBuilder*>(&time),
              static_cast<arrow::ArrayBuilder*>(&kind), static_cast<arrow::ArrayBuilder*>(&address),
              static_cast<arrow::ArrayBuilder*>(&length), static_cast<arrow::ArrayBuilder*>(&source),
              static_cast<arrow::ArrayBuilder*>(&entropy), static_cast<arrow::ArrayBuilder*>(&flags),
              static_cast<arrow::ArrayBuilder*>(&content), static_cast<arrow::ArrayBuilder*>(&slot),
              static_cast<arrow::ArrayBuilder*>(&page_class), static_cast<arrow::ArrayBuilder*>(&request)}) {
            ARROW_ASSIGN_OR_RAISE(auto array, builder->Finish());
            arrays.push_back(std::move(array));
        }
        arrays.resize(static_cast<std::size_t>(columns));
        return arrays;
    }
};

fs::path boot_folder(fs::path const& store, BootKey const& boot)
{
    return store / ("machine=" + to_hex(boot.machine)) / ("boot=" + to_hex(boot.boot));
}

fs::path stream_folder(fs::path const& store, StreamKey const& key)
{
    return boot_folder(store, key.boot) / (key.stream == wire::Stream::memory ? "stream=memory" : "stream=storage");
}

RecordFile::RecordFile(fs::path stream_folder, wire::Stream stream)
    : folder_{std::move(stream_folder)}, stream_{stream}, columns_{std::make_unique<Columns>()}
{
}

RecordFile::~RecordFile() = default;

void RecordFile::add(RecordRow const& row)
{
    if (!file_) {
        first_sequence_ = row.sequence;
        date_folder_ = folder_ / ("date=" + date_of(row.time_utc_ns));
        file_ =
            std::make_unique<ParquetFile>(date_folder_ / fmt::format("{:020}.parquet{}", row.sequence, part_suffix),
                                          record_schema(stream_), std::vector<std::string>{"seq", "time", "content"});
    }
    check(columns_->append(row), date_folder_);
    last_sequence_ = row.kind == "gap" ? row.sequence + row.length - 1 : row.sequence;
    if (columns_->sequence.length() >= row_group_rows)
        flush();
}

void RecordFile::add_gap(Gap const& gap, std::int64_t time_utc_ns, std::uint64_t slot)
{
    std::uint64_t first = gap.first_sequence;
    std::uint64_t missing = gap.missing;
    while (missing > 0) {
        auto const part =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(missing, std::numeric_limits<std::uint32_t>::max()));
        RecordRow row;
        row.sequence = row.address = first;
        row.time_utc_ns = time_utc_ns;
        row.kind = "gap";
        row.length = part;
        row.flags = gap.in_transit ? flag_lost_in_transit : std::uint16_t{0};
        row.slot = slot;
        add(row);
        first += part;
        missing -= part;
    }
}

void RecordFile::flush()
{
    auto arrays = columns_->finish(record_schema(stream_)->num_fields());
    check(arrays.status(), date_folder_);
    file_->write(*arrays);
}

void RecordFile::publish()
{
    if (columns_->sequence.length() > 0)
        flush();
    file_->publish(date_folder_ / fmt::format("{:020}-{:020}.parquet", *first_sequence_, last_sequence_));
}

RecordRow row_of(wire::Record const& record, std::uint64_t sequence, std::uint64_t slot)
{
    RecordRow row;
    row.sequence = sequence;
    row.time_utc_ns = static_cast<std::int64_t>(record.time_utc_ns.get());
    row.kind = kind_name(record.kind.get());
    row.address = record.address.get();
    row.length = record.length.get();
    row.source = record.source.get();
    row.page_class = record.page_class.get();
    row.flags = static_cast<std::uint16_t>(record.flags.get() & ~flag_lost_in_transit);
    if ((row.flags & wire::record_flag::has_entropy) != 0)
        row.entropy = static_cast<float>(record.entropy.get()) / 65535.0F;
    row.slot = slot;
    return row;
}

StreamPosition position_from_files(fs::path const& stream_folder)
{
    std::optional<FileRange> newest;
    fs::path newest_path;
    if (!fs::exists(stream_folder))
        return {};
    for (auto const& entry : fs::recursive_directory_iterator{stream_folder}) {
        auto const range = range_of(entry.path().filename());
        if (range && (!newest || range->last > newest->last)) {
            newest = range;
            newest_path = entry.path();
        }
    }
    if (!newest)
        return {};
    std::uint64_t highest_slot = 0;
    auto const slots = read_column(newest_path, "slot");
    for (auto const& chunk : slots->chunks()) {
        auto const& values = static_cast<arrow::UInt64Array const&>(*chunk);
        for (std::int64_t i = 0; i < values.length(); ++i)
            highest_slot = std::max(highest_slot, values.Value(i));
    }
    return {highest_slot + 1, newest->last + 1};
}

} // namespace undercroft::collector
