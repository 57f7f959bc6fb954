// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a boot's records amount to.
#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

struct KindSummary {
    std::uint64_t records{};
    std::uint64_t requests{};
    std::uint64_t bytes{};
};

struct BootSummary {
    std::array<KindSummary, 4> kinds{}; ///< by RecordKind, gap left out
    std::map<std::uint16_t, std::uint64_t> records_by_source{};
    std::uint64_t records{};         ///< gap rows not counted
    std::uint64_t content_records{}; ///< writes that have a content hash
    std::uint64_t gap_rows{};
    std::uint64_t lost_in_sensor{};
    std::uint64_t lost_in_transit{};
    std::uint64_t switched_off{}; ///< times capture was switched off
    std::int64_t off_ns{};        ///< how long it was off, as far as the records reach
    bool off_at_end{};
    std::uint64_t unaccounted{}; ///< numbers that no row speaks of (a file is missing)
    std::optional<std::int64_t> first_ns{};
    std::optional<std::int64_t> last_ns{};
    std::optional<std::uint64_t> last_sequence{};
};

[[nodiscard]] BootSummary summarise(Boot const& boot);

/// The summary, with hello.json and status.json of the boot.
[[nodiscard]] nlohmann::json to_json(Boot const& boot, BootSummary const& summary);

} // namespace undercroft::analysis
