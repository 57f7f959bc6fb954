// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Entropies as RanSAP's files have them (docs/formats/ransap.md).
#include <span>

#include <cstdint>

namespace undercroft::analysis {

/// Shannon bits per byte / 8; -0.0 for bytes that are all the same, as in RanSAP's files. 0 for none.
[[nodiscard]] double shannon_share(std::span<std::uint8_t const> bytes);

/// Mean of shannon_share over the parts of 256 bytes (the last may be shorter). 0 for none.
[[nodiscard]] double mean_part_entropy(std::span<std::uint8_t const> bytes);

} // namespace undercroft::analysis
