// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where axes have ticks and what is written beside them.
#include <cstdint>
#include <string>
#include <vector>

namespace undercroft::analysis {

struct Tick {
    double position{}; ///< in the axis' own unit
    std::string label;
};

struct Axis {
    std::string title;
    std::vector<Tick> ticks{};
};

/// The step of 1, 2 or 5 times a power of ten that gives at most `most` steps over `length` (> 0).
[[nodiscard]] double nice_step(double length, int most);

/// LBA in 512-byte sectors over [first, end), digits grouped by thousands. Positions are sectors.
[[nodiscard]] Axis lba_axis(double first, double end, int most);

/// The same range as byte offsets in KiB, MiB, GiB or TiB. Positions are sectors.
[[nodiscard]] Axis offset_axis(double first, double end, int most);

/// Up to ten minutes: seconds since from_ns. Longer: UTC clock times, with the date where a day begins.
/// Positions are nanoseconds since from_ns.
[[nodiscard]] Axis time_axis(std::int64_t from_ns, std::int64_t to_ns, int most);

/// Colour bar from 1 (log) or 0 (linear) to max. Positions are counts; no two labels are the same.
[[nodiscard]] std::vector<Tick> count_ticks(double max, bool logarithmic, int most);

/// "1,234,567"
[[nodiscard]] std::string group_thousands(std::uint64_t value);

} // namespace undercroft::analysis
