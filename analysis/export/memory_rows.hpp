// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory accesses as lines of RanSMAP's mem_*.csv (docs/formats/ransap.md).
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "analysis/export/rows.hpp"

namespace undercroft::analysis {

inline constexpr std::array<std::string_view, 4> memory_file_names{"mem_read.csv", "mem_write.csv", "mem_readwrite.csv",
                                                                   "mem_exec.csv"};

/// Index into memory_file_names; nothing for rows that are no access.
[[nodiscard]] std::optional<std::size_t> memory_file_of(RecordKind kind);

/// One line of that file. `data`: the page after a write, null when it is not known.
void append_memory_line(std::string& out, RecordRow const& row, std::string const* data, TimeScale scale);

} // namespace undercroft::analysis
