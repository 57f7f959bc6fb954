// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A Parquet file on its way: written as `.part`, closed, synced, then given its final name.
#include <memory>

#include <arrow/api.h>

#include "collector/store/files.hpp"

namespace arrow::io {
class FileOutputStream;
}
namespace parquet {
class WriterProperties;
namespace arrow {
class FileWriter;
}
} // namespace parquet

namespace undercroft::collector {

inline constexpr std::string_view part_suffix = ".part";

/// Throws StoreError unless ok.
void check(arrow::Status const& status, fs::path const& path);

/// From here on the process keeps the memory of a row group for the next one, up to some hundred MiB and for seconds,
/// instead of having it mapped and cleared again each time.
void keep_freed_memory();

class ParquetFile {
public:
    ParquetFile(fs::path part, std::shared_ptr<arrow::Schema> const& schema,
                std::shared_ptr<parquet::WriterProperties> const& properties);
    /// Removes the `.part` unless it was published.
    ~ParquetFile();
    ParquetFile(ParquetFile const&) = delete;
    ParquetFile& operator=(ParquetFile const&) = delete;

    /// One row group.
    void write(arrow::Table const& rows);
    void publish(fs::path const& final_path);

private:
    fs::path part_;
    std::shared_ptr<arrow::io::FileOutputStream> stream_;
    std::unique_ptr<parquet::arrow::FileWriter> writer_;
};

/// The only column, or the named one, of a closed file.
[[nodiscard]] std::shared_ptr<arrow::ChunkedArray> read_column(fs::path const& path, std::string const& column);

} // namespace undercroft::collector
