// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/parquet_file.hpp"

#include <unistd.h>

#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

namespace undercroft::collector {
namespace {

std::shared_ptr<parquet::WriterProperties> writer_properties(std::vector<std::string> const& plain_columns)
{
    parquet::WriterProperties::Builder builder;
    builder.compression(parquet::Compression::ZSTD)->compression_level(1)->created_by("undercroft");
    for (std::string const& column : plain_columns)
        builder.disable_dictionary(column);
    return builder.build();
}

} // namespace

void check(arrow::Status const& status, fs::path const& path)
{
    if (!status.ok())
        throw StoreError{path.string() + ": " + status.ToString(), errno};
}

ParquetFile::ParquetFile(fs::path part, std::shared_ptr<arrow::Schema> schema,
                         std::vector<std::string> const& plain_columns)
    : part_{std::move(part)}, schema_{std::move(schema)}
{
    create_directories_durably(part_.parent_path());
    failpoint("before part");
    auto stream = arrow::io::FileOutputStream::Open(part_.string());
    check(stream.status(), part_);
    stream_ = *stream;
    auto const arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
    auto writer = parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), stream_,
                                                   writer_properties(plain_columns), arrow_properties);
    check(writer.status(), part_);
    writer_ = std::move(*writer);
    failpoint("after part");
}

ParquetFile::~ParquetFile()
{
    if (part_.empty())
        return;
    // Given up after an error: what Close would say is of no interest any more.
    if (writer_)
        static_cast<void>(writer_->Close());
    static_cast<void>(stream_->Close());
    ::unlink(part_.c_str());
}

void ParquetFile::write(arrow::ArrayVector const& columns)
{
    failpoint("before row group");
    auto const table = arrow::Table::Make(schema_, columns);
    check(writer_->WriteTable(*table, std::max<std::int64_t>(table->num_rows(), 1)), part_);
    failpoint("after row group");
}

void ParquetFile::publish(fs::path const& final_path)
{
    check(writer_->Close(), part_);
    failpoint("after footer");
    check(stream_->Close(), part_);
    collector::publish(part_, final_path);
    part_.clear();
}

std::shared_ptr<arrow::ChunkedArray> read_column(fs::path const& path, std::string const& column)
{
    auto input = arrow::io::ReadableFile::Open(path.string());
    check(input.status(), path);
    auto reader = parquet::arrow::OpenFile(*input, arrow::default_memory_pool());
    check(reader.status(), path);
    std::shared_ptr<arrow::Schema> schema;
    check((*reader)->GetSchema(&schema), path);
    int const index = schema->GetFieldIndex(column);
    if (index < 0)
        throw StoreError{path.string() + ": no column " + column, 0};
    std::shared_ptr<arrow::ChunkedArray> values;
    check((*reader)->ReadColumn(index, &values), path);
    return values;
}

} // namespace undercroft::collector
