// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which guest-physical addresses are RAM, and a numbering of its pages without the holes.
#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

inline constexpr std::uint64_t page_bytes = 4096;

/// Guest-physical, [first, end).
struct AddressRange {
    std::uint64_t first{};
    std::uint64_t end{};
    bool operator==(AddressRange const&) const = default;
};

/// Of a row with an address and a length; empty when they wrap around.
[[nodiscard]] AddressRange range_of(RecordRow const& row);

/// Whole pages of RAM in ascending order, numbered from 0 without the holes between regions.
class RamMap {
public:
    RamMap() = default;
    /// Ranges in any order; overlapping and touching ones are joined, cut ones shrink to whole pages.
    explicit RamMap(std::vector<AddressRange> ranges);

    [[nodiscard]] std::vector<AddressRange> const& regions() const { return regions_; }
    [[nodiscard]] std::uint64_t pages() const { return pages_; }
    /// Number of the page that holds the address; nothing for a hole.
    [[nodiscard]] std::optional<std::uint64_t> page_of(std::uint64_t address) const;
    /// Number of the first page at or above the address; pages() when there is none.
    [[nodiscard]] std::uint64_t page_from(std::uint64_t address) const;
    /// Guest-physical address of a page, `page` < pages().
    [[nodiscard]] std::uint64_t address_of(std::uint64_t page) const;
    /// The part of the map inside a range.
    [[nodiscard]] RamMap inside(AddressRange range) const;
    /// Page numbers at which a region begins behind a hole.
    [[nodiscard]] std::vector<std::uint64_t> folds() const;

private:
    std::vector<AddressRange> regions_;
    std::vector<std::uint64_t> first_page_; ///< of each region
    std::uint64_t pages_{};
};

} // namespace undercroft::analysis
