// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/import.hpp"

#include <array>
#include <fstream>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/sha.h>
#include <parquet/arrow/writer.h>

#include "analysis/command.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::int64_t row_group_rows = 1 << 20;
constexpr char store_marker[] = "undercroft-store.json";
constexpr char import_file[] = "import.json";
constexpr std::uint16_t whole_request = 1 | 2; // record_flag first_of_request, last_of_request
constexpr std::uint16_t has_entropy = 4;

void check(arrow::Status const& status, fs::path const& file)
{
    if (!status.ok())
        throw Error{fmt::format("{}: {}", file.string(), status.ToString())};
}

std::string digest(std::string const& text)
{
    std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
    SHA256(reinterpret_cast<unsigned char const*>(text.data()), text.size(), hash.data());
    std::string hex;
    for (std::size_t i = 0; i < 16; ++i)
        hex += fmt::format("{:02x}", hash[i]);
    return hex;
}

std::shared_ptr<arrow::Schema> record_schema()
{
    auto const field = [](char const* name, std::shared_ptr<arrow::DataType> type, bool nullable) {
        return arrow::field(name, std::move(type), nullable);
    };
    return arrow::schema({field("seq", arrow::uint64(), false),
                          field("time", arrow::timestamp(arrow::TimeUnit::NANO, "UTC"), false),
                          field("kind", arrow::utf8(), false), field("address", arrow::uint64(), false),
                          field("length", arrow::uint32(), false), field("source", arrow::uint16(), false),
                          field("entropy", arrow::float32(), true), field("flags", arrow::uint16(), false),
                          field("content", arrow::fixed_size_binary(32), true), field("slot", arrow::uint64(), false)});
}

/// The columns of the storage accesses.
class RecordTable {
public:
    arrow::Status append(Access const& access)
    {
        bool const write = access.kind == TraceKind::write;
        bool const known = write && access.entropy == access.entropy;
        ARROW_RETURN_NOT_OK(sequence_.Append(rows_++));
        ARROW_RETURN_NOT_OK(time_.Append(access.time_ns));
        ARROW_RETURN_NOT_OK(kind_.Append(write ? "write" : "read"));
        ARROW_RETURN_NOT_OK(address_.Append(access.address));
        ARROW_RETURN_NOT_OK(length_.Append(access.bytes));
        ARROW_RETURN_NOT_OK(source_.Append(0));
        ARROW_RETURN_NOT_OK(known ? entropy_.Append(access.entropy) : entropy_.AppendNull());
        ARROW_RETURN_NOT_OK(flags_.Append(static_cast<std::uint16_t>(whole_request | (known ? has_entropy : 0))));
        ARROW_RETURN_NOT_OK(content_.AppendNull());
        return slot_.Append(0);
    }

    arrow::Result<std::shared_ptr<arrow::Table>> finish()
    {
        arrow::ArrayVector columns;
        for (arrow::ArrayBuilder* const builder : std::initializer_list<arrow::ArrayBuilder*>{
                 &sequence_, &time_, &kind_, &address_, &length_, &source_, &entropy_, &flags_, &content_, &slot_}) {
            ARROW_ASSIGN_OR_RAISE(auto column, builder->Finish());
            columns.push_back(std::move(column));
        }
        return arrow::Table::Make(record_schema(), columns);
    }

    [[nodiscard]] std::uint64_t rows() const { return rows_; }

private:
    std::uint64_t rows_ = 0;
    arrow::UInt64Builder sequence_;
    arrow::TimestampBuilder time_{arrow::timestamp(arrow::TimeUnit::NANO, "UTC"), arrow::default_memory_pool()};
    arrow::StringBuilder kind_;
    arrow::UInt64Builder address_;
    arrow::UInt32Builder length_;
    arrow::UInt16Builder source_;
    arrow::FloatBuilder entropy_;
    arrow::UInt16Builder flags_;
    arrow::FixedSizeBinaryBuilder content_{arrow::fixed_size_binary(32)};
    arrow::UInt64Builder slot_;
};

/// Under its final name only when complete.
void write_table(std::shared_ptr<arrow::Table> const& table, fs::path const& file)
{
    fs::path const part = file.string() + ".part";
    auto const properties = parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build();
    auto const write = [&]() -> arrow::Status {
        ARROW_ASSIGN_OR_RAISE(auto stream, arrow::io::FileOutputStream::Open(part.string()));
        ARROW_RETURN_NOT_OK(
            parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), stream, row_group_rows, properties));
        return stream->Close();
    };
    check(write(), part);
    fs::rename(part, file);
}

Json about(TraceRun const& run)
{
    Json complaints = Json::object();
    for (std::size_t i = 0; i < complaint_kinds; ++i)
        if (run.complaints.counts[i] != 0)
            complaints[std::string{to_string(static_cast<Complaint>(i))}] = run.complaints.counts[i];
    return {{"run", run.place.path},        {"environment", run.place.environment}, {"program", run.place.program},
            {"variant", run.place.variant}, {"has_reads", run.has_reads},           {"has_writes", run.has_writes},
            {"complaints", complaints}};
}

} // namespace

ImportedIds ids_of(RunPlace const& place)
{
    return {.machine = digest("undercroft import machine " + place.environment),
            .boot = digest("undercroft import run " + place.path)};
}

void prepare_store(fs::path const& store)
{
    if (fs::exists(store / store_marker))
        return;
    if (fs::exists(store) && (!fs::is_directory(store) || !fs::is_empty(store)))
        throw Error{fmt::format("{}: neither a store nor an empty folder", store.string())};
    fs::create_directories(store);
    write_file(store / store_marker, Json::object({{"format", 1}}).dump() + "\n");
}

Imported import_run(TraceRun const& run, fs::path const& store)
{
    ImportedIds const ids = ids_of(run.place);
    fs::path const boot = store / ("machine=" + ids.machine) / ("boot=" + ids.boot);
    if (fs::exists(boot / import_file))
        return Imported::already_there;
    RecordTable records;
    std::int64_t first_ns = 0;
    for (Access const& access : run.accesses) {
        if (is_memory(access.kind))
            continue;
        first_ns = records.rows() == 0 ? access.time_ns : first_ns;
        check(records.append(access), boot);
    }
    if (records.rows() == 0)
        return Imported::empty;
    auto table = records.finish();
    check(table.status(), boot);
    fs::path const folder = boot / "stream=storage" / ("date=" + format_date(first_ns));
    fs::create_directories(folder);
    write_table(*table, folder / fmt::format("{:020}-{:020}.parquet", 0, records.rows() - 1));
    write_file(boot / import_file, about(run).dump(2) + "\n"); // last: it says that the run is complete
    return Imported::written;
}

bool lacks_writes(fs::path const& boot_folder)
{
    std::ifstream in{boot_folder / import_file, std::ios::binary};
    Json const json = in ? Json::parse(in, nullptr, false) : Json();
    return json.is_object() && json.contains("has_writes") && json["has_writes"] == false;
}

} // namespace undercroft::analysis
