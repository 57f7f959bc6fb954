// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A file of windows, one row each, CSV or Parquet. It gets its name only when it is complete.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace undercroft::analysis {

/// Whose windows they are: a boot of a store, or the environment and path of a run's folder.
struct TraceName {
    std::string machine;
    std::string boot;
};

/// One window, or several that end together, as it is written.
struct FeatureRow {
    std::int64_t start_ns{};        ///< of the longest window
    std::span<double const> values; ///< one per feature column; NaN: undefined
    std::uint64_t read_pieces{};    ///< of the longest window, as are the next two
    std::uint64_t write_pieces{};
    std::uint64_t lost_records{};
};

class FeatureTable {
public:
    virtual ~FeatureTable() = default;
    virtual void add(TraceName const& trace, FeatureRow const& row) = 0;
    virtual void close() = 0;
};

/// `columns` are the names of the feature columns. Throw Error when the file cannot be made.
[[nodiscard]] std::unique_ptr<FeatureTable> make_csv_table(std::filesystem::path const& file,
                                                           std::vector<std::string> const& columns);
[[nodiscard]] std::unique_ptr<FeatureTable> make_parquet_table(std::filesystem::path const& file,
                                                               std::vector<std::string> const& columns);

} // namespace undercroft::analysis
