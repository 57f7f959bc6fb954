// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// CRC-32C (Castagnoli), as in iSCSI and ext4, by the processor's instruction where it has one.
#include <cstdint>
#include <span>

namespace undercroft::collector {

/// Of `bytes` behind what gave `crc` (0 at the start).
[[nodiscard]] std::uint32_t crc32c(std::uint32_t crc, std::span<std::uint8_t const> bytes);

/// The same without the instruction; for tests and processors that lack it.
[[nodiscard]] std::uint32_t crc32c_by_table(std::uint32_t crc, std::span<std::uint8_t const> bytes);

} // namespace undercroft::collector
