// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Storage records as accesses, quickly: column by column, one pass.
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "analysis/read/store.hpp"
#include "analysis/traces/access.hpp"

namespace undercroft::analysis {

/// Calls `visit` with the accesses of a boot's storage files in the order of their times. Of other disks than `source`
/// only the times are told, as notes. Throws Error, naming file and column, when a file is damaged or is not what
/// docs/formats/store.md says; the numbers of the rows are not looked at.
void scan_accesses(std::vector<RecordFile> const& files, std::optional<std::uint16_t> source,
                   std::function<void(std::span<Access const>)> const& visit);

} // namespace undercroft::analysis
