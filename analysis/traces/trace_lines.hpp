// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The lines of RanSAP's and RanSMAP's CSV files. Nothing in a file can make the parser fail: what it cannot use it
// counts by name and skips.
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

/// What the second column counts.
enum class SubSecondScale : std::uint8_t {
    two_to_30,   ///< n of 2^30 per second: the published files
    nanoseconds, ///< `undercroft export` without --time-scale ransap
};

enum class Complaint : std::uint8_t {
    byte_order_mark,          ///< skipped
    carriage_return,          ///< ignored at a line's end
    blank_line,               ///< skipped
    header_line,              ///< first line, begins with a letter or a quote: skipped
    malformed_line,           ///< wrong number of fields or not numbers: skipped
    unfinished_last_line,     ///< no line feed at the end: used when its fields are complete
    sub_seconds_out_of_range, ///< a second or more: added to the seconds
    bytes_out_of_range,       ///< 0 (storage) or above 1 GiB: skipped
    entropy_out_of_range,     ///< outside 0..1: taken as unknown
    entropy_missing,          ///< a write with -1 or NaN
    unknown_mapping,          ///< memory type other than 1, 2, 4: taken as none
};
inline constexpr std::size_t complaint_kinds = 11;
[[nodiscard]] std::string_view to_string(Complaint complaint);

struct Complaints {
    std::array<std::uint64_t, complaint_kinds> counts{};

    void add(Complaint complaint, std::uint64_t count = 1) { counts[static_cast<std::size_t>(complaint)] += count; }
    [[nodiscard]] std::uint64_t operator[](Complaint complaint) const
    {
        return counts[static_cast<std::size_t>(complaint)];
    }
    Complaints& operator+=(Complaints const& other);
    [[nodiscard]] bool any() const;
};

/// Appends the accesses of a file's text in the order of its lines. Of a write file the fifth column is the entropy
/// and the sixth is ignored; of a memory file the sixth is the mapping.
void parse_trace_lines(std::string_view text, TraceKind kind, SubSecondScale scale, std::vector<Access>& accesses,
                       Complaints& complaints);

} // namespace undercroft::analysis
