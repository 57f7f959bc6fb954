// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The column `request` of rows of kind memory_mode (docs/formats/store.md).
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/memory/ram_map.hpp"

namespace undercroft::analysis {

/// What the analysis needs of it.
struct ModeRequest {
    std::string mode;
    bool starts{}; ///< or was changed; else it stopped
    std::uint64_t range_begin{};
    std::uint64_t range_bytes{}; ///< 0: all

    [[nodiscard]] AddressRange range() const;
};

/// Nothing when the text is not such a request.
[[nodiscard]] std::optional<ModeRequest> parse_request(std::string_view text);

} // namespace undercroft::analysis
