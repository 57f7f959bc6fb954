// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// RanSAP's five features of disk accesses over a stretch of time, as sums that add up to those of longer ones.
#include <cstdint>

#include "analysis/read/record_scan.hpp"

namespace undercroft::serve {

/// Count, mean and sum of squared deviations of LBAs. Rounding is relative to how far they lie apart, not to how far
/// from the disk's beginning.
struct Moments {
    std::uint64_t count{};
    std::uint64_t origin{}; ///< one of them
    double mean{};          ///< less the origin
    double squares{};

    void merge(Moments const& other);
    /// `count` LBAs from `first`, each eight sectors further.
    static Moments of_series(std::uint64_t first, std::uint64_t count);
    /// Of the population; 0 when there is none.
    [[nodiscard]] double variance() const { return count == 0 ? 0 : squares / static_cast<double>(count); }
};

struct FeatureSums {
    std::uint64_t read_bytes{};
    std::uint64_t write_bytes{};
    Moments reads{};  ///< LBAs of the pieces of at most 4,096 bytes
    Moments writes{}; ///< the same
    double entropy{}; ///< of the write pieces whose entropy is known
    std::uint64_t entropy_pieces{};
    std::uint64_t lost{}; ///< records missing

    void add(analysis::RecordRow const& row);
    void merge(FeatureSums const& other);
};

} // namespace undercroft::serve
