// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a stream stands, and the one rule that turns a jump into a gap.
#include <cstdint>
#include <expected>
#include <optional>

namespace undercroft::collector {

/// Consecutive records that the store will never have.
struct Gap {
    std::uint64_t first_sequence{};
    std::uint64_t missing{};
    bool in_transit{}; ///< slots are missing too: lost between sensor and store, not in the sensor's buffer
};

/// A larger jump is no loss but nonsense; bounds the number of gap rows one slot can cause.
inline constexpr std::uint64_t max_gap_records = std::uint64_t{1} << 40;

/// What comes after everything seen so far. Streams start with slot 0 and sequence number 0.
struct StreamPosition {
    std::uint64_t next_slot{};
    std::uint64_t next_sequence{};
    auto operator<=>(StreamPosition const&) const = default;

    struct BadSequence {};

    /// Moves past a slot with `slot` >= next_slot. BadSequence (and no change) when its
    /// sequence numbers run backwards or further ahead than max_gap_records.
    [[nodiscard]] std::expected<std::optional<Gap>, BadSequence>
    advance(std::uint64_t slot, std::uint64_t first_sequence, std::uint32_t count)
    {
        if (first_sequence < next_sequence || first_sequence - next_sequence > max_gap_records)
            return std::unexpected{BadSequence{}};
        std::optional<Gap> gap;
        if (first_sequence > next_sequence)
            gap = Gap{next_sequence, first_sequence - next_sequence, slot > next_slot};
        next_slot = slot + 1;
        next_sequence = first_sequence + count;
        return gap;
    }
};

} // namespace undercroft::collector
