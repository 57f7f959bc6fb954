// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <fmt/format.h>
#include <parquet/arrow/writer.h>

#include "analysis/features/table.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t group_rows = 65536;

std::shared_ptr<arrow::Schema> schema_of(std::vector<std::string> const& columns)
{
    arrow::FieldVector fields{arrow::field("machine", arrow::utf8()), arrow::field("boot", arrow::utf8()),
                              arrow::field("window_start_ns", arrow::int64())};
    for (std::string const& column : columns)
        fields.push_back(arrow::field(column, arrow::float64()));
    for (char const* const name : {"read_pieces", "write_pieces", "lost_records"})
        fields.push_back(arrow::field(name, arrow::int64()));
    return arrow::schema(fields);
}

class ParquetTable final : public FeatureTable {
public:
    ParquetTable(fs::path file, std::vector<std::string> const& columns)
        : file_{std::move(file)}, part_{file_.string() + ".part"}, schema_{schema_of(columns)}, values_(columns.size())
    {
        stream_ = take(arrow::io::FileOutputStream::Open(part_.string()));
        auto const properties = parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build();
        writer_ = take(parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), stream_, properties));
    }

    ~ParquetTable() override
    {
        std::error_code ignored; // there is none left after close()
        fs::remove(part_, ignored);
    }
    ParquetTable(ParquetTable const&) = delete;
    ParquetTable& operator=(ParquetTable const&) = delete;

    void add(TraceName const& trace, FeatureRow const& row) override
    {
        check(machine_.Append(trace.machine));
        check(boot_.Append(trace.boot));
        check(start_.Append(row.start_ns));
        for (std::size_t i = 0; i < values_.size(); ++i)
            check(std::isnan(row.values[i]) ? values_[i].AppendNull() : values_[i].Append(row.values[i]));
        check(read_pieces_.Append(static_cast<std::int64_t>(row.read_pieces)));
        check(write_pieces_.Append(static_cast<std::int64_t>(row.write_pieces)));
        check(lost_.Append(static_cast<std::int64_t>(row.lost_records)));
        if (start_.length() >= group_rows)
            write_group();
    }

    void close() override
    {
        write_group();
        check(writer_->Close());
        check(stream_->Close());
        std::error_code error;
        fs::rename(part_, file_, error);
        if (error)
            throw Error{fmt::format("{}: {}", file_.string(), error.message())};
    }

private:
    void check(arrow::Status const& status) const
    {
        if (!status.ok())
            throw Error{fmt::format("{}: {}", file_.string(), status.ToString())};
    }

    template <typename T>
    T take(arrow::Result<T> result) const
    {
        check(result.status());
        return std::move(*result);
    }

    void write_group()
    {
        arrow::ArrayVector columns;
        auto const finish = [&](arrow::ArrayBuilder& builder) { columns.push_back(take(builder.Finish())); };
        finish(machine_);
        finish(boot_);
        finish(start_);
        for (arrow::DoubleBuilder& builder : values_)
            finish(builder);
        finish(read_pieces_);
        finish(write_pieces_);
        finish(lost_);
        auto const table = arrow::Table::Make(schema_, columns);
        if (table->num_rows() != 0)
            check(writer_->WriteTable(*table, group_rows));
    }

    fs::path file_;
    fs::path part_;
    std::shared_ptr<arrow::Schema> schema_;
    std::shared_ptr<arrow::io::FileOutputStream> stream_;
    std::unique_ptr<parquet::arrow::FileWriter> writer_;
    arrow::StringBuilder machine_;
    arrow::StringBuilder boot_;
    arrow::Int64Builder start_;
    std::vector<arrow::DoubleBuilder> values_;
    arrow::Int64Builder read_pieces_;
    arrow::Int64Builder write_pieces_;
    arrow::Int64Builder lost_;
};

} // namespace

std::unique_ptr<FeatureTable> make_parquet_table(fs::path const& file, std::vector<std::string> const& columns)
{
    return std::make_unique<ParquetTable>(file, columns);
}

} // namespace undercroft::analysis
