// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A Parquet file on its way: written as `.part`, closed, synced, then given its final name.
#include <memory>
#include <vector>

#include <arrow/api.h>

#include "collector/store/files.hpp"

namespace arrow::io {
class FileOutputStream;
}
namespace parquet::arrow {
class FileWriter;
}

namespace undercroft::collector {

inline constexpr std::string_view part_suffix = ".part";

/// Throws StoreError unless ok.
void check(arrow::Status const& status, fs::path const& path);

class ParquetFile {
public:
    ParquetFile(fs::path part, std::shared_ptr<arrow::Schema> schema, std::vector<std::string> const& plain_columns);
    /// Removes the `.part` unless it was published.
    ~ParquetFile();
    ParquetFile(ParquetFile const&) = delete;
    ParquetFile& operator=(ParquetFile const&) = delete;

    /// One row group.
    void write(arrow::ArrayVector const& columns);
    void publish(fs::path const& final_path);

private:
    fs::path part_;
    std::shared_ptr<arrow::Schema> schema_;
    std::shared_ptr<arrow::io::FileOutputStream> stream_;
    std::unique_ptr<parquet::arrow::FileWriter> writer_;
};

/// The only column, or the named one, of a closed file.
[[nodiscard]] std::shared_ptr<arrow::ChunkedArray> read_column(fs::path const& path, std::string const& column);

} // namespace undercroft::collector
