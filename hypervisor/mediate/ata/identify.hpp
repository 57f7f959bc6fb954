// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// IDENTIFY DEVICE data: sector size, capacity, names, CHS translation.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/mediate/ata/command.hpp"

namespace undercroft::ata {

inline constexpr std::size_t identify_bytes = 512;

struct Identity {
    std::uint16_t sector_bytes = 512; ///< logical sector: a multiple of 512, at most 32,768
    std::uint64_t sectors = 0;        ///< logical sectors of the disk, 0 = not stated
    Geometry geometry;
    std::uint16_t multiple = 0; ///< sectors per PIO block of MULTIPLE commands as set now, 0 = not stated
    char model[40]{};
    char serial[20]{};
};

/// False: not an ATA disk's answer, its checksum is wrong, or its sector size is absurd; `identity` is unchanged.
[[nodiscard]] bool parse_identify(std::span<std::byte const, identify_bytes> data, Identity& identity);

} // namespace undercroft::ata
