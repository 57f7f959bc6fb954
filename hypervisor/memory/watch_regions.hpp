// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which parts of memory behave alike, so that the watch looks closely and often where something happens and
// seldom where nothing does. As DAMON's regions: split where one proves to be two, merged where neighbours have become
// alike, never more than there is room for. Unlike DAMON nothing is guessed from one sampled page: a look at 2 MiB
// costs one load, so splits are made where the bits change.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/memory/page_view.hpp"

namespace undercroft::memory {

struct WatchRegion {
    PageRange range;         ///< cut at multiples of 2 MiB, except where usable memory ends
    std::uint16_t heat = 0;  ///< share of its 2 MiB pieces that are in use; full_heat: all
    std::uint16_t every = 1; ///< it is looked at in each such scan
    std::uint16_t quiet = 0; ///< looks in a row without any access
    std::uint32_t due = 0;   ///< number of the scan that looks at it next
    bool fine = false;       ///< in 4 KiB pages

    [[nodiscard]] std::uint64_t granules() const
    {
        return (range.end() + huge_page_bytes - 1) / huge_page_bytes - range.begin.value / huge_page_bytes;
    }
};

inline constexpr std::uint16_t full_heat = 16384;

/// What one look at a region has found, in pieces of 2 MiB.
struct LookResult {
    std::uint64_t accessed = 0;
    PageRange first_run; ///< the first accessed pieces that follow each other; empty when there are none
};

class WatchRegions {
public:
    static constexpr std::size_t max_regions = 512;
    static constexpr std::uint16_t max_every = 64;
    static constexpr std::uint16_t warm = full_heat / 16; ///< from here on a closer look is worth its entries
    static constexpr std::uint16_t cold = full_heat / 64;

    /// One coarse region for each range; more ranges than there is room for are left out (returns false).
    [[nodiscard]] bool reset(std::span<PageRange const> usable);
    [[nodiscard]] std::span<WatchRegion> all() { return {regions_.data(), count_}; }
    [[nodiscard]] std::span<WatchRegion const> all() const { return {regions_.data(), count_}; }

    /// Learns from a look at region `at` in scan `scan`, and splits it where it has proved to be two. Use is learnt at
    /// once and forgotten slowly: by `cooling` 1024ths in each scan.
    void learn(std::size_t at, LookResult const& look, std::uint32_t scan, std::uint32_t cooling);
    /// Joins neighbours that have become alike.
    void merge();
    static constexpr std::size_t none = ~std::size_t{0};
    /// Makes the hottest coarse region fine, or the part of it that `budget` fine pieces of 2 MiB in all have
    /// room for. Returns its index, or none: nothing is hot, or the budget is used up.
    [[nodiscard]] std::size_t refine(std::uint64_t budget);
    /// Makes a fine region coarse that has gone cold; or, over budget, the coldest one or what of it is too much.
    [[nodiscard]] std::size_t coarsen(std::uint64_t budget);
    [[nodiscard]] std::uint64_t fine_granules() const;

private:
    void cut(std::size_t at, std::uint64_t gpa);
    void split(std::size_t at, LookResult const& look, std::uint32_t cooling);
    [[nodiscard]] bool cut_to(std::size_t at, std::uint64_t granules);
    [[nodiscard]] std::size_t merge_below(std::uint32_t threshold);

    std::array<WatchRegion, max_regions> regions_{};
    std::size_t count_ = 0;
};

} // namespace undercroft::memory
