// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/parquet_file.hpp"

#include <malloc.h>
#include <unistd.h>

#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

namespace undercroft::collector {

void keep_freed_memory()
{
    ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 128 << 20);
    static_cast<void>(
        arrow::jemalloc_set_decay_ms(10'000)); // Arrow may have another allocator; then it is that one's affair
}

void check(arrow::Status const& status, fs::path const& path)
{
    if (!status.ok())
        throw StoreError{path.string() + ": " + status.ToString(), errno};
}

ParquetFile::ParquetFile(fs::path part, std::shared_ptr<arrow::Schema> const& schema,
                         std::shared_ptr<parquet::WriterProperties> const& properties)
    : part_{std::move(part)}
{
    create_directories_durably(part_.parent_path());
    failpoint("before part");
    auto stream = arrow::io::FileOutputStream::Open(part_.string());
    check(stream.status(), part_);
    stream_ = *stream;
    auto writer = parquet::arrow::FileWriter::Open(*schema, arrow::default_memory_pool(), stream_, properties);
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

void ParquetFile::write(arrow::Table const& rows)
{
    failpoint("before row group");
    check(writer_->WriteTable(rows, std::max<std::int64_t>(rows.num_rows(), 1)), part_);
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
