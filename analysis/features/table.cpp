// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/features/table.hpp"

namespace undercroft::analysis {

FeatureRow features_of(Window const& window, WindowShape const& shape)
{
    double const seconds = static_cast<double>(shape.window_ns) / 1e9;
    WindowSums const& sums = window.sums;
    FeatureRow row{.start_ns = window.start_ns,
                   .read_bytes_per_s = static_cast<double>(sums.read_bytes) / seconds,
                   .write_bytes_per_s = static_cast<double>(sums.write_bytes) / seconds,
                   .read_lba_variance = sums.reads.variance(),
                   .write_lba_variance = sums.writes.variance(),
                   .read_pieces = sums.reads.count,
                   .write_pieces = sums.writes.count,
                   .lost_records = sums.lost};
    if (sums.entropy_pieces != 0)
        row.write_entropy = sums.entropy / static_cast<double>(sums.entropy_pieces);
    return row;
}

} // namespace undercroft::analysis
