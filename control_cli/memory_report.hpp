// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// How the memory monitor's modes are shown.
#include <string>
#include <vector>

#include "wire/memory.hpp"

namespace undercroft::control_cli {

[[nodiscard]] std::string memory_text(std::vector<wire::MemoryStatus> const& states);
[[nodiscard]] std::string memory_json(std::vector<wire::MemoryStatus> const& states);
/// A line for each thing that the processor or the configuration lacks; empty: nothing.
[[nodiscard]] std::string missing_text(std::vector<wire::MemoryStatus> const& states);

} // namespace undercroft::control_cli
