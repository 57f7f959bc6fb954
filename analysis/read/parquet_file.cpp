// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/read/parquet_file.hpp"

#include <numeric>

#include <arrow/io/file.h>
#include <fmt/format.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/statistics.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::int64_t batch_rows = 65536;

} // namespace

ParquetFile::ParquetFile(std::filesystem::path path) : path_{std::move(path)}
{
    auto const opened = arrow::io::ReadableFile::Open(path_.string());
    if (!opened.ok())
        fail(opened.status().message());
    try {
        parquet::ArrowReaderProperties properties{};
        properties.set_batch_size(batch_rows);
        properties.set_use_threads(false);
        parquet::arrow::FileReaderBuilder builder;
        arrow::Status status = builder.Open(*opened);
        if (status.ok()) // as it is stored, so that words are compared once
            if (int const kind = builder.raw_reader()->metadata()->schema()->ColumnIndex("kind"); kind >= 0)
                properties.set_read_dictionary(kind, true);
        if (status.ok())
            status = builder.properties(properties)->Build(&reader_);
        if (status.ok())
            status = reader_->GetSchema(&schema_);
        if (!status.ok())
            fail("damaged, or not a Parquet file: " + status.message());
    } catch (parquet::ParquetException const& error) {
        fail(std::string{"damaged, or not a Parquet file: "} + error.what());
    }
}

void ParquetFile::fail(std::string const& what) const
{
    throw Error{fmt::format("{}: {}", path_.string(), what)};
}

void ParquetFile::require(std::string const& column, std::string const& expected,
                          std::function<bool(arrow::DataType const&)> const& accept) const
{
    // Unknown and ambiguous names both give null.
    std::shared_ptr<arrow::Field> const field = schema_->GetFieldByName(column);
    if (!field)
        fail(fmt::format("column '{}' is missing (or there twice)", column));
    if (!accept(*field->type()))
        fail(fmt::format("column '{}' has type {}, it should be {}", column, field->type()->ToString(), expected));
}

std::optional<std::pair<std::int64_t, std::int64_t>> ParquetFile::range_of(int group, std::string const& column) const
{
    try {
        auto const metadata = reader_->parquet_reader()->metadata();
        int const leaf = metadata->schema()->ColumnIndex(column);
        if (leaf < 0)
            return {};
        auto const statistics = metadata->RowGroup(group)->ColumnChunk(leaf)->statistics();
        if (!statistics || !statistics->HasMinMax() || statistics->physical_type() != parquet::Type::INT64)
            return {};
        auto const& numbers = static_cast<parquet::Int64Statistics const&>(*statistics);
        return std::pair{numbers.min(), numbers.max()};
    } catch (parquet::ParquetException const& error) {
        fail(std::string{"damaged: "} + error.what());
    }
}

void ParquetFile::read(std::vector<std::string> const& columns, std::vector<int> const& groups,
                       std::function<bool(arrow::RecordBatch const&)> const& visit) const
{
    try {
        read_batches(columns, groups, visit);
    } catch (Error const&) {
        throw;
    } catch (std::bad_alloc const&) {
        fail("damaged, or too large for this machine's memory");
    } catch (std::exception const& error) {
        fail(std::string{"damaged: "} + error.what());
    }
}

void ParquetFile::read_batches(std::vector<std::string> const& columns, std::vector<int> const& groups,
                               std::function<bool(arrow::RecordBatch const&)> const& visit) const
{
    std::vector<int> wanted = groups;
    if (wanted.empty()) {
        wanted.resize(static_cast<std::size_t>(row_groups()));
        std::iota(wanted.begin(), wanted.end(), 0);
    }
    // All wanted columns are flat, so the index of the field is that of the Parquet leaf only when
    // every column before it is flat too; the leaf index is looked up by name to survive extra columns.
    std::vector<int> leaves;
    leaves.reserve(columns.size());
    for (std::string const& column : columns)
        leaves.push_back(reader_->parquet_reader()->metadata()->schema()->ColumnIndex(column));
    auto const batches = reader_->GetRecordBatchReader(wanted, leaves);
    if (!batches.ok())
        fail("damaged: " + batches.status().message());
    for (;;) {
        std::shared_ptr<arrow::RecordBatch> batch;
        arrow::Status status = (*batches)->ReadNext(&batch);
        if (status.ok() && !batch)
            return;
        if (status.ok())
            status = batch->ValidateFull();
        if (!status.ok())
            fail("damaged: " + status.message());
        auto const ordered = [&] {
            std::vector<int> order;
            order.reserve(columns.size());
            for (std::string const& column : columns)
                order.push_back(batch->schema()->GetFieldIndex(column));
            return batch->SelectColumns(order);
        }();
        if (!ordered.ok())
            fail("damaged: " + ordered.status().message());
        if (!visit(**ordered))
            return;
    }
}

void require_no_nulls(ParquetFile const& file, arrow::RecordBatch const& batch, int column)
{
    if (batch.column(column)->null_count() != 0)
        file.fail(fmt::format("column '{}' has empty values", batch.column_name(column)));
}

} // namespace undercroft::analysis
