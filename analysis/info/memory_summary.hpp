// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a boot's memory stream amounts to.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "analysis/memory/coverage.hpp"
#include "analysis/memory/sweeps.hpp"

namespace undercroft::analysis {

struct ModeSummary {
    std::uint64_t starts{};
    std::int64_t ran_ns{}; ///< as far as the records reach
    bool runs_at_end{};
};

struct MemorySummary {
    std::array<std::uint64_t, record_kinds> kinds{}; ///< records by RecordKind, gap left out
    std::uint64_t records{};
    std::uint64_t content_records{};
    std::uint64_t gap_rows{};
    std::uint64_t lost_in_sensor{};
    std::uint64_t lost_in_transit{};
    std::uint64_t unaccounted{}; ///< numbers that no row speaks of (a file is missing)
    std::optional<std::int64_t> first_ns{};
    std::optional<std::int64_t> last_ns{};
    std::map<std::string, ModeSummary> modes{};
    RamMap ram;
    /// Share of RAM x time (first to last record) that was looked at, by AccessKind; 0 when RAM is not known.
    std::array<double, access_kinds> looked{};
    Sweeps sweeps;
};

[[nodiscard]] MemorySummary summarise_memory(Boot const& boot);
[[nodiscard]] nlohmann::json to_json(MemorySummary const& summary);
/// Lines for people, each with its end; empty when the boot has no memory stream.
[[nodiscard]] std::string to_text(MemorySummary const& summary);

} // namespace undercroft::analysis
