// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The ranges in the data of DATA SET MANAGEMENT (TRIM): 8-byte entries of 48-bit LBA and 16-bit count.
#include <array>
#include <cstdint>

#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/observe/disk_command.hpp"

namespace undercroft::ata {

struct TrimRange {
    std::uint64_t lba = 0;     ///< logical sectors
    std::uint32_t sectors = 0; ///< never 0
};

/// Reads the ranges block by block, each byte once.
class TrimRanges {
public:
    /// Disks state limits of a few blocks (IDENTIFY word 105); more than this many are not read.
    static constexpr std::uint32_t max_blocks = 256;
    static constexpr std::uint32_t max_ranges = max_blocks * 64;

    TrimRanges(core::GuestMemory const& memory, observe::ExtentSource& data, std::uint32_t blocks)
        : memory_{&memory}, data_{&data}, blocks_{blocks < max_blocks ? blocks : max_blocks},
          complete_{blocks <= max_blocks}
    {
    }
    /// The next range that is not empty; false at the end.
    [[nodiscard]] bool next(TrimRange& range);
    /// False: some blocks could not be read or were too many.
    [[nodiscard]] bool complete() const { return complete_; }

private:
    bool fill();

    core::GuestMemory const* memory_;
    observe::ExtentSource* data_;
    observe::Extent extent_{};
    std::uint32_t blocks_;
    bool complete_;
    std::array<std::byte, 512> block_{};
    std::size_t at_ = 512;
};

} // namespace undercroft::ata
