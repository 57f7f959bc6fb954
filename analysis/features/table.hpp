// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A file of windows, one row each, CSV or Parquet. It gets its name only when it is complete.
#include <filesystem>
#include <memory>
#include <string>

#include "analysis/features/windows.hpp"
#include "analysis/read/store.hpp"

namespace undercroft::analysis {

/// One window as it is written.
struct FeatureRow {
    std::int64_t start_ns{};
    double read_bytes_per_s{};
    double write_bytes_per_s{};
    double read_lba_variance{};            ///< sectors of 512 bytes, squared
    double write_lba_variance{};           ///< the same
    std::optional<double> write_entropy{}; ///< bits / 8; none: no write whose entropy is known
    std::uint64_t read_pieces{};
    std::uint64_t write_pieces{};
    std::uint64_t lost_records{};
};

[[nodiscard]] FeatureRow features_of(Window const& window, WindowShape const& shape);

class FeatureTable {
public:
    virtual ~FeatureTable() = default;
    virtual void add(Boot const& boot, FeatureRow const& row) = 0;
    virtual void close() = 0;
};

/// Throw Error when the file cannot be made.
[[nodiscard]] std::unique_ptr<FeatureTable> make_csv_table(std::filesystem::path const& file);
[[nodiscard]] std::unique_ptr<FeatureTable> make_parquet_table(std::filesystem::path const& file);

} // namespace undercroft::analysis
