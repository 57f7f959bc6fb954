// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/record_file.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace undercroft::collector {
namespace {

/// Small enough that a reader of one minute skips most of a day, large enough that dictionaries pay.
constexpr std::size_t row_group_rows = std::size_t{256} * 1024;
constexpr char const* position_name = "position.json";

std::string date_of(std::int64_t time_utc_ns)
{
    using namespace std::chrono;
    year_month_day const date{floor<days>(sys_time<nanoseconds>{nanoseconds{time_utc_ns}})};
    return fmt::format("{:04}-{:02}-{:02}", int{date.year()}, unsigned{date.month()}, unsigned{date.day()});
}

StreamPosition read_position(fs::path const& stream_folder)
{
    std::ifstream stream{stream_folder / position_name};
    auto const document = stream ? nlohmann::json::parse(stream, nullptr, false) : nlohmann::json{};
    if (!document.is_object())
        return {};
    auto const number = [&](char const* name) {
        auto const found = document.find(name);
        return found != document.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
    };
    return {number("next_slot"), number("next_sequence")};
}

} // namespace

fs::path boot_folder(fs::path const& store, BootKey const& boot)
{
    return store / ("machine=" + to_hex(boot.machine)) / ("boot=" + to_hex(boot.boot));
}

fs::path stream_folder(fs::path const& store, BootKey const& boot, wire::Stream stream)
{
    return boot_folder(store, boot) / (stream == wire::Stream::memory ? "stream=memory" : "stream=storage");
}

RecordFile::RecordFile(fs::path stream_folder, wire::Stream stream)
    : folder_{std::move(stream_folder)}, stream_{stream}, rows_{stream}
{
}

RecordFile::~RecordFile() = default;

void RecordFile::begin(std::uint64_t sequence, std::int64_t time_utc_ns)
{
    if (file_)
        return;
    first_sequence_ = sequence;
    date_folder_ = folder_ / ("date=" + date_of(time_utc_ns));
    file_ = std::make_unique<ParquetFile>(date_folder_ / fmt::format("{:020}.parquet{}", sequence, part_suffix),
                                          record_schema(stream_), record_properties());
}

void RecordFile::add(wire::Record const& record, std::uint64_t sequence, std::uint64_t slot,
                     std::optional<ContentHash> const& content, std::string_view request)
{
    begin(sequence, static_cast<std::int64_t>(record.time_utc_ns.get()));
    rows_.add(record, sequence, slot, content, request);
    last_sequence_ = sequence;
    if (rows_.size() >= row_group_rows)
        flush();
}

void RecordFile::add_gap(Gap const& gap, std::int64_t time_utc_ns, std::uint64_t slot)
{
    std::uint64_t first = gap.first_sequence;
    std::uint64_t missing = gap.missing;
    begin(first, time_utc_ns);
    while (missing > 0) {
        auto const part =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(missing, std::numeric_limits<std::uint32_t>::max()));
        rows_.add_gap(first, part, gap.in_transit, time_utc_ns, slot);
        first += part;
        missing -= part;
        last_sequence_ = first - 1;
    }
    if (rows_.size() >= row_group_rows)
        flush();
}

void RecordFile::flush()
{
    file_->write(*rows_.table());
    rows_.clear();
}

fs::path RecordFile::publish()
{
    if (rows_.size() > 0)
        flush();
    fs::path const path = date_folder_ / file_name({*first_sequence_, last_sequence_});
    file_->publish(path);
    return path;
}

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

std::string file_name(FileRange range)
{
    return fmt::format("{:020}-{:020}.parquet", range.first, range.last);
}

StreamPosition position_from_files(fs::path const& stream_folder)
{
    if (!fs::exists(stream_folder))
        return {};
    StreamPosition const kept = read_position(stream_folder);
    std::optional<FileRange> newest;
    fs::path newest_path;
    for (auto const& entry : fs::recursive_directory_iterator{stream_folder}) {
        auto const range = range_of(entry.path().filename());
        if (range && (!newest || range->last > newest->last)) {
            newest = range;
            newest_path = entry.path();
        }
    }
    if (!newest || newest->last < kept.next_sequence)
        return kept;
    std::uint64_t highest_slot = 0;
    auto const slots = read_column(newest_path, "slot");
    for (auto const& chunk : slots->chunks()) {
        auto const& values = static_cast<arrow::UInt64Array const&>(*chunk);
        for (std::int64_t i = 0; i < values.length(); ++i)
            highest_slot = std::max(highest_slot, values.Value(i));
    }
    return {std::max(highest_slot + 1, kept.next_slot), newest->last + 1};
}

void write_position(fs::path const& stream_folder, StreamPosition const& position)
{
    nlohmann::ordered_json const document{{"next_slot", position.next_slot}, {"next_sequence", position.next_sequence}};
    replace_file(stream_folder / position_name, document.dump() + "\n", true);
}

} // namespace undercroft::collector
