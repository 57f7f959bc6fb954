// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/read/record_scan.hpp"

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/read/parquet_file.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::array<std::string_view, record_kinds> kind_names{"read",
                                                                "write",
                                                                "flush",
                                                                "trim",
                                                                "gap",
                                                                "capture_off",
                                                                "capture_on",
                                                                "memory_read",
                                                                "memory_write",
                                                                "memory_read_write",
                                                                "memory_execute",
                                                                "memory_page",
                                                                "memory_mode",
                                                                "memory_region",
                                                                "memory_armed",
                                                                "memory_disarmed",
                                                                "memory_sweep_begin",
                                                                "memory_sweep_end",
                                                                "memory_scanned"};

bool belongs_to(RecordKind kind, StreamName stream)
{
    return kind == RecordKind::gap || (kind >= RecordKind::memory_read) == (stream == StreamName::memory);
}

bool is_kind_type(arrow::DataType const& type)
{
    if (type.id() == arrow::Type::DICTIONARY)
        return static_cast<arrow::DictionaryType const&>(type).value_type()->id() == arrow::Type::STRING;
    return type.id() == arrow::Type::STRING;
}

bool is_time_type(arrow::DataType const& type)
{
    return type.id() == arrow::Type::TIMESTAMP &&
           static_cast<arrow::TimestampType const&>(type).unit() == arrow::TimeUnit::NANO;
}

bool is_hash_type(arrow::DataType const& type)
{
    return type.id() == arrow::Type::FIXED_SIZE_BINARY &&
           static_cast<arrow::FixedSizeBinaryType const&>(type).byte_width() == 32;
}

auto is(arrow::Type::type id)
{
    return [id](arrow::DataType const& type) { return type.id() == id; };
}

/// The columns of one batch as typed arrays; those not asked for are null.
struct Arrays {
    arrow::UInt64Array const* sequence{};
    arrow::TimestampArray const* time{};
    arrow::Array const* kind{};
    arrow::UInt64Array const* address{};
    arrow::UInt32Array const* length{};
    arrow::UInt16Array const* source{};
    arrow::FloatArray const* entropy{};
    arrow::UInt16Array const* flags{};
    arrow::FixedSizeBinaryArray const* content{};
    arrow::UInt8Array const* page_class{};
    arrow::StringArray const* request{};
};

/// The last sequence number that the row accounts for.
std::uint64_t last_sequence_of(RecordRow const& row)
{
    std::uint64_t const more = row.kind == RecordKind::gap && row.length > 0 ? row.length - 1 : 0;
    return row.sequence > ~more ? ~std::uint64_t{0} : row.sequence + more;
}

class FileScan {
public:
    FileScan(RecordFile const& file, Columns columns) : file_{file.path}, name_{file}, columns_{columns}
    {
        check_schema();
    }

    /// Calls `visit` for each row of the row groups (all of them, if empty); false from it stops.
    void run(std::vector<int> const& groups, std::function<bool(RecordRow const&)> const& visit)
    {
        std::vector<std::string> names{"seq", "time", "kind"};
        auto const add = [&](bool wanted, char const* name) {
            if (wanted)
                names.emplace_back(name);
        };
        add(columns_.address, "address");
        add(columns_.length, "length");
        add(columns_.source, "source");
        add(columns_.entropy, "entropy");
        add(columns_.flags, "flags");
        add(columns_.content, "content");
        add(columns_.page_class, "page_class");
        add(columns_.request, "request");
        file_.read(names, groups, [&](arrow::RecordBatch const& batch) { return visit_batch(batch, visit); });
        // A file that ends with a gap row may be named after the gap's first or its last missing number.
        if (groups.empty() && !stopped_ &&
            (rows_ == 0 || (last_ != name_.last_sequence && last_used_ != name_.last_sequence)))
            file_.fail(fmt::format("incomplete: the last row should have seq {}", name_.last_sequence));
    }

private:
    void check_schema()
    {
        file_.require("seq", "uint64", is(arrow::Type::UINT64));
        file_.require("time", "timestamp[ns, UTC]", is_time_type);
        file_.require("kind", "string, or dictionary of string", is_kind_type);
        if (columns_.address)
            file_.require("address", "uint64", is(arrow::Type::UINT64));
        if (columns_.length)
            file_.require("length", "uint32", is(arrow::Type::UINT32));
        if (columns_.source)
            file_.require("source", "uint16", is(arrow::Type::UINT16));
        if (columns_.entropy)
            file_.require("entropy", "float", is(arrow::Type::FLOAT));
        if (columns_.flags)
            file_.require("flags", "uint16", is(arrow::Type::UINT16));
        if (columns_.content)
            file_.require("content", "fixed_size_binary[32]", is_hash_type);
        if (columns_.page_class)
            file_.require("page_class", "uint8", is(arrow::Type::UINT8));
        if (columns_.request)
            file_.require("request", "string", is(arrow::Type::STRING));
    }

    template <typename Array>
    void take(arrow::RecordBatch const& batch, char const* name, Array const*& array, bool nullable = false) const
    {
        int const index = batch.schema()->GetFieldIndex(name);
        if (index < 0)
            return;
        if (!nullable)
            require_no_nulls(file_, batch, index);
        array = static_cast<Array const*>(batch.column(index).get());
    }

    [[nodiscard]] Arrays typed(arrow::RecordBatch const& batch) const
    {
        Arrays arrays;
        take(batch, "seq", arrays.sequence);
        take(batch, "time", arrays.time);
        take(batch, "kind", arrays.kind);
        take(batch, "address", arrays.address);
        take(batch, "length", arrays.length);
        take(batch, "source", arrays.source);
        take(batch, "entropy", arrays.entropy, true);
        take(batch, "flags", arrays.flags);
        take(batch, "content", arrays.content, true);
        take(batch, "page_class", arrays.page_class);
        take(batch, "request", arrays.request, true);
        return arrays;
    }

    [[nodiscard]] std::optional<RecordKind> find_kind(std::string_view text) const
    {
        for (std::size_t i = 0; i < kind_names.size(); ++i)
            if (text == kind_names[i] && belongs_to(static_cast<RecordKind>(i), name_.stream))
                return static_cast<RecordKind>(i);
        return {};
    }

    [[nodiscard]] RecordKind parse_kind(std::string_view text) const
    {
        if (auto const kind = find_kind(text))
            return *kind;
        file_.fail(fmt::format("column 'kind' holds '{}', which this version does not know", text.substr(0, 40)));
    }

    /// Kinds of a dictionary column by dictionary index, so that strings are compared once per batch.
    /// A dictionary may have words that no row uses.
    [[nodiscard]] std::vector<std::optional<RecordKind>> parse_dictionary(arrow::Array const& array) const
    {
        std::vector<std::optional<RecordKind>> kinds;
        if (array.type_id() == arrow::Type::DICTIONARY) {
            auto const& words =
                static_cast<arrow::StringArray const&>(*static_cast<arrow::DictionaryArray const&>(array).dictionary());
            for (std::int64_t i = 0; i < words.length(); ++i)
                kinds.push_back(find_kind(words.IsNull(i) ? std::string_view{} : words.GetView(i)));
        }
        return kinds;
    }

    [[nodiscard]] RecordKind kind_at(arrow::Array const& array, std::int64_t row,
                                     std::vector<std::optional<RecordKind>> const& dictionary) const
    {
        auto const& kinds = static_cast<arrow::DictionaryArray const&>(array);
        std::int64_t const index = kinds.GetValueIndex(row);
        if (auto const kind = dictionary[static_cast<std::size_t>(index)])
            return *kind;
        auto const& words = static_cast<arrow::StringArray const&>(*kinds.dictionary());
        return parse_kind(words.IsNull(index) ? std::string_view{} : words.GetView(index)); // which says what is wrong
    }

    bool visit_batch(arrow::RecordBatch const& batch, std::function<bool(RecordRow const&)> const& visit)
    {
        Arrays const arrays = typed(batch);
        std::vector<std::optional<RecordKind>> const dictionary = parse_dictionary(*arrays.kind);
        for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
            RecordRow row{.sequence = arrays.sequence->Value(i), .time_ns = arrays.time->Value(i)};
            if (arrays.kind->type_id() == arrow::Type::DICTIONARY)
                row.kind = kind_at(*arrays.kind, i, dictionary);
            else
                row.kind = parse_kind(static_cast<arrow::StringArray const*>(arrays.kind)->GetView(i));
            fill_optional(arrays, i, row);
            check_order(row);
            if (!visit(row)) {
                stopped_ = true;
                return false;
            }
        }
        return true;
    }

    static void fill_optional(Arrays const& arrays, std::int64_t i, RecordRow& row)
    {
        if (arrays.address != nullptr)
            row.address = arrays.address->Value(i);
        if (arrays.length != nullptr)
            row.length = arrays.length->Value(i);
        if (arrays.source != nullptr)
            row.source = arrays.source->Value(i);
        if (arrays.flags != nullptr)
            row.flags = arrays.flags->Value(i);
        if (arrays.entropy != nullptr && arrays.entropy->IsValid(i))
            row.entropy = arrays.entropy->Value(i);
        if (arrays.content != nullptr && arrays.content->IsValid(i))
            row.content = reinterpret_cast<Hash const*>(arrays.content->GetValue(i));
        if (arrays.page_class != nullptr)
            row.page_class = arrays.page_class->Value(i);
        if (arrays.request != nullptr && arrays.request->IsValid(i))
            row.request = arrays.request->GetView(i);
    }

    void check_order(RecordRow const& row)
    {
        if (row.sequence < name_.first_sequence || row.sequence > name_.last_sequence)
            file_.fail(fmt::format("column 'seq' holds {}, outside the numbers in the file's name", row.sequence));
        if (rows_ != 0 && row.sequence <= last_)
            file_.fail(fmt::format("column 'seq' is not rising ({} after {})", row.sequence, last_));
        if (row.time_ns < 0)
            file_.fail(fmt::format("column 'time' is before 1970 (seq {})", row.sequence));
        if (row.time_ns >= time_limit_ns)
            file_.fail(fmt::format("column 'time' is after 2115 (seq {})", row.sequence));
        last_ = row.sequence;
        last_used_ = last_sequence_of(row);
        ++rows_;
    }

    ParquetFile file_;
    RecordFile name_;
    Columns columns_;
    std::uint64_t last_{};
    std::uint64_t last_used_{};
    std::uint64_t rows_{};
    bool stopped_{};
};

bool matches(RecordRow const& row, RecordFilter const& filter, bool by_lba)
{
    if ((filter.from_ns && row.time_ns < *filter.from_ns) || (filter.to_ns && row.time_ns >= *filter.to_ns))
        return false;
    if (is_note(row.kind))
        return true;
    if (filter.source && row.source != *filter.source)
        return false;
    return !by_lba || (row.address < filter.end_lba && row.end_lba() > filter.first_lba);
}

} // namespace

std::string_view to_string(RecordKind kind)
{
    return kind_names[static_cast<std::size_t>(kind)];
}

ScanResult scan_records(Boot const& boot, Columns columns, RecordFilter const& filter,
                        std::function<Visit(RecordRow const&)> const& visit)
{
    return scan_records(boot.files, columns, filter, visit);
}

ScanResult scan_records(std::vector<RecordFile> const& files, Columns columns, RecordFilter const& filter,
                        std::function<Visit(RecordRow const&)> const& visit)
{
    bool const by_lba = filter.first_lba != 0 || filter.end_lba != std::numeric_limits<std::uint64_t>::max();
    columns.address = columns.address || by_lba;
    columns.source = columns.source || filter.source.has_value();
    columns.length = true; // of gap rows: how many are missing
    ScanResult result;
    std::uint64_t expected = 0;
    bool stopped = false;
    for (RecordFile const& file : files) {
        FileScan scan{file, columns};
        scan.run({}, [&](RecordRow const& row) {
            if (row.sequence > expected)
                result.holes.push_back({.first_sequence = expected, .count = row.sequence - expected});
            std::uint64_t const last = last_sequence_of(row);
            expected = last == ~std::uint64_t{0} ? last : last + 1;
            ++result.rows;
            stopped = matches(row, filter, by_lba) && visit(row) == Visit::stop;
            return !stopped;
        });
        if (stopped)
            break;
    }
    return result;
}

void scan_row_groups(RecordFile const& file, std::vector<int> const& groups, Columns columns,
                     std::function<Visit(RecordRow const&)> const& visit)
{
    columns.length = true;
    FileScan{file, columns}.run(groups, [&](RecordRow const& row) { return visit(row) == Visit::next; });
}

int count_row_groups(RecordFile const& file)
{
    return ParquetFile{file.path}.row_groups();
}

} // namespace undercroft::analysis
