// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One block of content without an index of them all: files written near the time of the record are looked into first.
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "analysis/read/record_scan.hpp"

namespace undercroft::serve {

[[nodiscard]] std::optional<analysis::Hash> analysis_hash(std::string_view hex);

/// Nothing when the store lacks the block. Throws analysis::Error when its bytes do not have this hash.
[[nodiscard]] std::optional<std::string> find_content(std::filesystem::path const& store, analysis::Hash const& hash,
                                                      std::int64_t near_ns);

} // namespace undercroft::serve
