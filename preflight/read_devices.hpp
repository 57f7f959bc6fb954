// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "preflight/facts.hpp"

namespace undercroft::preflight {

/// The first line of a small file; empty if it cannot be read.
[[nodiscard]] std::string line_of(std::filesystem::path const& file);
/// Names in a folder, sorted; none if it is not there.
[[nodiscard]] std::vector<std::string> names_in(std::filesystem::path const& folder);

/// facts.pci and facts.interfaces.
void read_devices(std::filesystem::path const& root, Facts& facts);

} // namespace undercroft::preflight
