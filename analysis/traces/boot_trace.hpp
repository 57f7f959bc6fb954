// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The records of a store as accesses.
#include <functional>
#include <optional>

#include "analysis/read/record_scan.hpp"
#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

/// What a row of either stream is to features; rows that are no access become `gap` or `note`.
[[nodiscard]] Access access_of(RecordRow const& row);

struct BootTraceOptions {
    std::optional<std::uint16_t> source; ///< one disk only; gaps and notes come all the same
    bool memory = false;                 ///< with the accesses of the memory stream
};

/// All accesses of a boot in the exact order of their times. Reads the boot twice. Throws Error; also when the times go
/// back so far that too much would have to be kept at once.
void for_each_access(Boot const& boot, BootTraceOptions const& options,
                     std::function<void(Access const&)> const& visit);

} // namespace undercroft::analysis
