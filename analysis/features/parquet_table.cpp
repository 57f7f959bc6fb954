// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
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

class ParquetTable final : public FeatureTable {
public:
    explicit ParquetTable(fs::path file) : file_{std::move(file)}, part_{file_.string() + ".part"}
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

    void add(Boot const& boot, FeatureRow const& row) override
    {
        check(machine_.Append(boot.machine));
        check(boot_.Append(boot.id));
        check(start_.Append(row.start_ns));
        check(read_rate_.Append(row.read_bytes_per_s));
        check(write_rate_.Append(row.write_bytes_per_s));
        check(read_variance_.Append(row.read_lba_variance));
        check(write_variance_.Append(row.write_lba_variance));
        check(row.write_entropy ? entropy_.Append(*row.write_entropy) : entropy_.AppendNull());
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
        for (arrow::ArrayBuilder* const builder : std::initializer_list<arrow::ArrayBuilder*>{
                 &machine_, &boot_, &start_, &read_rate_, &write_rate_, &read_variance_, &write_variance_, &entropy_,
                 &read_pieces_, &write_pieces_, &lost_})
            columns.push_back(take(builder->Finish()));
        auto const table = arrow::Table::Make(schema_, columns);
        if (table->num_rows() != 0)
            check(writer_->WriteTable(*table, group_rows));
    }

    fs::path file_;
    fs::path part_;
    std::shared_ptr<arrow::Schema> schema_ = arrow::schema(
        {arrow::field("machine", arrow::utf8()), arrow::field("boot", arrow::utf8()),
         arrow::field("window_start_ns", arrow::int64()), arrow::field("read_bytes_per_s", arrow::float64()),
         arrow::field("write_bytes_per_s", arrow::float64()), arrow::field("read_lba_variance", arrow::float64()),
         arrow::field("write_lba_variance", arrow::float64()), arrow::field("write_entropy", arrow::float64()),
         arrow::field("read_pieces", arrow::int64()), arrow::field("write_pieces", arrow::int64()),
         arrow::field("lost_records", arrow::int64())});
    std::shared_ptr<arrow::io::FileOutputStream> stream_;
    std::unique_ptr<parquet::arrow::FileWriter> writer_;
    arrow::StringBuilder machine_;
    arrow::StringBuilder boot_;
    arrow::Int64Builder start_;
    arrow::DoubleBuilder read_rate_;
    arrow::DoubleBuilder write_rate_;
    arrow::DoubleBuilder read_variance_;
    arrow::DoubleBuilder write_variance_;
    arrow::DoubleBuilder entropy_;
    arrow::Int64Builder read_pieces_;
    arrow::Int64Builder write_pieces_;
    arrow::Int64Builder lost_;
};

} // namespace

std::unique_ptr<FeatureTable> make_parquet_table(fs::path const& file)
{
    return std::make_unique<ParquetTable>(file);
}

} // namespace undercroft::analysis
