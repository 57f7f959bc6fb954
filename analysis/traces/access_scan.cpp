// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/access_scan.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/read/parquet_file.hpp"
#include "analysis/read/record_scan.hpp"
#include "analysis/read/times.hpp"
#include "analysis/traces/boot_trace.hpp"
#include "analysis/traces/time_order.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::int64_t no_time = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t handful = 1024;
/// Storage files hold none; found by check().
constexpr TraceKind unknown_kind = TraceKind::memory_read;

std::vector<std::string> columns_for(bool source)
{
    std::vector<std::string> columns{"time", "kind", "address", "length", "entropy"};
    if (source)
        columns.emplace_back("source");
    return columns;
}

template <typename Array>
Array const& column_of(arrow::RecordBatch const& batch, int index)
{
    return static_cast<Array const&>(*batch.column(index));
}

/// One file's row groups as accesses.
class AccessFile {
public:
    AccessFile(RecordFile const& file, std::optional<std::uint16_t> source) : file_{file.path}, source_{source}
    {
        auto const is = [](arrow::Type::type id) {
            return [id](arrow::DataType const& type) { return type.id() == id; };
        };
        file_.require("time", "timestamp[ns, UTC]", [](arrow::DataType const& type) {
            return type.id() == arrow::Type::TIMESTAMP &&
                   static_cast<arrow::TimestampType const&>(type).unit() == arrow::TimeUnit::NANO;
        });
        file_.require("kind", "string, or dictionary of string", [](arrow::DataType const& type) {
            return type.id() == arrow::Type::DICTIONARY &&
                   static_cast<arrow::DictionaryType const&>(type).value_type()->id() == arrow::Type::STRING;
        });
        file_.require("address", "uint64", is(arrow::Type::UINT64));
        file_.require("length", "uint32", is(arrow::Type::UINT32));
        file_.require("entropy", "float", is(arrow::Type::FLOAT));
        file_.require("source", "uint16", is(arrow::Type::UINT16));
    }

    [[nodiscard]] ParquetFile const& file() const { return file_; }

    /// The group's accesses in the order of the stream.
    void read(int group, std::vector<Access>& accesses) const
    {
        accesses.clear();
        file_.read(columns_for(source_.has_value()), {group}, [&](arrow::RecordBatch const& batch) {
            add(batch, accesses);
            return true;
        });
    }

private:
    /// By the dictionary's index.
    [[nodiscard]] std::vector<TraceKind> kinds_of(arrow::DictionaryArray const& array) const
    {
        auto const& words = static_cast<arrow::StringArray const&>(*array.dictionary());
        std::vector<TraceKind> kinds; // a dictionary may have words that no row uses
        for (std::int64_t i = 0; i < words.length(); ++i)
            kinds.push_back(kind_named(words.IsNull(i) ? std::string_view{} : words.GetView(i)));
        return kinds;
    }

    [[nodiscard]] static TraceKind kind_named(std::string_view word)
    {
        for (std::size_t i = 0; i <= static_cast<std::size_t>(RecordKind::capture_on); ++i)
            if (auto const kind = static_cast<RecordKind>(i); to_string(kind) == word)
                return trace_kind(kind);
        return unknown_kind;
    }

    void add(arrow::RecordBatch const& batch, std::vector<Access>& accesses) const
    {
        for (int const column : {0, 1, 2, 3})
            require_no_nulls(file_, batch, column);
        auto const& time = column_of<arrow::TimestampArray>(batch, 0);
        auto const& kind = column_of<arrow::DictionaryArray>(batch, 1);
        auto const& address = column_of<arrow::UInt64Array>(batch, 2);
        auto const& length = column_of<arrow::UInt32Array>(batch, 3);
        auto const& entropy = column_of<arrow::FloatArray>(batch, 4);
        std::vector<TraceKind> const kinds = kinds_of(kind);
        bool const some_unknown = entropy.null_count() != 0;
        std::size_t const before = accesses.size();
        accesses.resize(before + static_cast<std::size_t>(batch.num_rows()));
        auto const fill = [&](auto const& index_of) {
            for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
                Access& access = accesses[before + static_cast<std::size_t>(i)];
                access.time_ns = time.Value(i);
                access.address = address.Value(i);
                access.bytes = length.Value(i);
                access.kind = kinds[static_cast<std::size_t>(index_of(i))];
                if (!some_unknown || entropy.IsValid(i))
                    access.entropy = entropy.Value(i);
            }
        };
        if (kind.indices()->type_id() == arrow::Type::INT32) {
            auto const* const indices = static_cast<arrow::Int32Array const&>(*kind.indices()).raw_values();
            fill([indices](std::int64_t i) { return indices[i]; });
        } else {
            fill([&](std::int64_t i) { return kind.GetValueIndex(i); });
        }
        if (source_)
            mark_others(column_of<arrow::UInt16Array>(batch, 5),
                        {accesses.begin() + static_cast<std::ptrdiff_t>(before), accesses.end()});
        check({accesses.begin() + static_cast<std::ptrdiff_t>(before), accesses.end()});
    }

    /// What is of another disk still says where windows begin and end.
    void mark_others(arrow::UInt16Array const& sources, std::span<Access> accesses) const
    {
        for (std::size_t i = 0; i < accesses.size(); ++i) {
            std::uint16_t const source = sources.Value(static_cast<std::int64_t>(i));
            accesses[i].source = source;
            if (source != *source_ && accesses[i].kind != TraceKind::gap)
                accesses[i] = {.time_ns = accesses[i].time_ns, .kind = TraceKind::note};
        }
    }

    void check(std::span<Access const> accesses) const
    {
        for (Access const& access : accesses)
            if (access.time_ns < 0 || access.time_ns >= time_limit_ns || access.kind == unknown_kind)
                file_.fail(access.kind == unknown_kind ? "column 'kind' holds a word that this version does not know"
                                                       : "column 'time' is before 1970 or after 2115");
    }

    ParquetFile file_;
    std::optional<std::uint16_t> source_;
};

/// A row group, and the earliest time of all that come after it.
struct Group {
    std::size_t file{};
    int number{};
    std::int64_t later_ns = no_time;
};

/// From the footers alone. What says nothing of its times may hold any.
std::vector<Group> groups_of(std::vector<RecordFile> const& files)
{
    std::vector<Group> groups;
    std::vector<std::int64_t> earliest;
    for (std::size_t i = 0; i < files.size(); ++i) {
        ParquetFile const file{files[i].path};
        for (int group = 0; group < file.row_groups(); ++group) {
            groups.push_back({.file = i, .number = group});
            auto const range = file.range_of(group, "time");
            earliest.push_back(range ? range->first : 0);
        }
    }
    for (std::size_t i = groups.size(); i-- > 1;)
        groups[i - 1].later_ns = std::min(groups[i].later_ns, earliest[i]);
    return groups;
}

void sort_by_time(std::vector<Access>& accesses)
{
    if (std::ranges::is_sorted(accesses, {}, &Access::time_ns))
        return;
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    order.reserve(accesses.size());
    for (std::size_t i = 0; i < accesses.size(); ++i)
        order.emplace_back(accesses[i].time_ns, i);
    std::ranges::sort(order);
    std::vector<Access> sorted;
    sorted.reserve(accesses.size());
    for (auto const& [time_ns, i] : order)
        sorted.push_back(accesses[i]);
    accesses = std::move(sorted);
}

/// Hands on single accesses by the handful.
class Handfuls {
public:
    explicit Handfuls(std::function<void(std::span<Access const>)> const& visit) : visit_{visit} {}
    void add(Access const& access)
    {
        held_.push_back(access);
        if (held_.size() == handful)
            flush();
    }
    void flush()
    {
        if (!held_.empty())
            visit_(held_);
        held_.clear();
    }

private:
    std::function<void(std::span<Access const>)> const& visit_;
    std::vector<Access> held_;
};

} // namespace

void scan_accesses(std::vector<RecordFile> const& files, std::optional<std::uint16_t> source,
                   std::function<void(std::span<Access const>)> const& visit)
{
    Handfuls handfuls{visit};
    TimeOrder waiting{TimeOrder::keep_all, [&](Access const& access) { handfuls.add(access); }};
    std::vector<Access> accesses;
    std::optional<AccessFile> file;
    std::size_t open = files.size();
    for (Group const& group : groups_of(files)) {
        if (group.file != open)
            file.emplace(files[group.file], source);
        open = group.file;
        file->read(group.number, accesses);
        sort_by_time(accesses);
        // Nothing that is still to come is earlier than `later_ns`; of the same time, what is here comes first.
        std::size_t ready = 0;
        if (waiting.empty())
            ready = static_cast<std::size_t>(std::ranges::upper_bound(accesses, group.later_ns, {}, &Access::time_ns) -
                                             accesses.begin());
        if (ready != 0)
            visit(std::span{accesses}.first(ready));
        for (Access const& access : std::span{accesses}.subspan(ready))
            waiting.push(access);
        waiting.settle(group.later_ns);
        handfuls.flush();
    }
}

} // namespace undercroft::analysis
