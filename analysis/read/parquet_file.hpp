// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A Parquet file read batch by batch, with every failure turned into an Error that names the file.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <arrow/api.h>
#include <parquet/arrow/reader.h>

namespace undercroft::analysis {

class ParquetFile {
public:
    explicit ParquetFile(std::filesystem::path path);

    [[nodiscard]] std::filesystem::path const& path() const { return path_; }
    [[nodiscard]] int row_groups() const { return reader_->num_row_groups(); }

    /// Throws unless the column is there and `accept`s its type; `expected` says in words what it should be.
    void require(std::string const& column, std::string const& expected,
                 std::function<bool(arrow::DataType const&)> const& accept) const;

    /// Reads the named columns of the given row groups (all, when empty), validated, in file order.
    /// Columns of a batch are in the order of `columns`. `visit` returns false to stop.
    void read(std::vector<std::string> const& columns, std::vector<int> const& groups,
              std::function<bool(arrow::RecordBatch const&)> const& visit) const;

    /// The least and the greatest value of a column of whole numbers in a row group, from the file's footer; nothing
    /// when it does not say.
    [[nodiscard]] std::optional<std::pair<std::int64_t, std::int64_t>> range_of(int group,
                                                                                std::string const& column) const;

    [[noreturn]] void fail(std::string const& what) const;

private:
    void read_batches(std::vector<std::string> const& columns, std::vector<int> const& groups,
                      std::function<bool(arrow::RecordBatch const&)> const& visit) const;

    std::filesystem::path path_;
    std::unique_ptr<parquet::arrow::FileReader> reader_;
    std::shared_ptr<arrow::Schema> schema_;
};

/// Throws when a column that must be complete has nulls.
void require_no_nulls(ParquetFile const& file, arrow::RecordBatch const& batch, int column);

} // namespace undercroft::analysis
