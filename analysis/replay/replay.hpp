// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Applies captured writes to a copy of the image that the disk had when the sensor started.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "analysis/read/content.hpp"
#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

struct ReplayRequest {
    std::filesystem::path base;
    std::filesystem::path out;
    std::optional<std::int64_t> until_ns{};        ///< up to the first record later than this
    std::optional<std::uint64_t> until_sequence{}; ///< included
    std::optional<std::uint16_t> source{};
    bool zero_trimmed{};
    bool force{};
};

struct ReplayResult {
    std::uint64_t writes{}; ///< records applied
    std::uint64_t bytes{};
    std::uint64_t trims{}; ///< seen; applied only with zero_trimmed
    std::uint64_t lost_records{};
    std::uint64_t writes_without_content{};
    std::uint64_t writes_beyond_image{};
    std::optional<std::uint64_t> last_sequence{}; ///< of the last record looked at
};

/// Throws Error before anything is copied when records or content are missing in the part to be replayed (unless
/// force), naming the first missing sequence number. `progress` gets applied and total writes now and then.
ReplayResult replay(std::filesystem::path const& store, Boot const& boot, ReplayRequest const& request,
                    std::function<void(std::uint64_t, std::uint64_t)> const& progress);

} // namespace undercroft::analysis
