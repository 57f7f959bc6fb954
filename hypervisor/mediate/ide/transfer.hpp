// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::ide {

/// How a command moves its data (ATA/ATAPI-6 chapter 9, ACS-4 chapter 7).
enum class Transfer : std::uint8_t {
    other, ///< none, or none that matters here
    pio_in,
    pio_out,
    dma,
    dma_queued,
    identify,
    packet,
};
[[nodiscard]] Transfer transfer_of(std::uint8_t opcode);
/// PIO in blocks of as many sectors as SET MULTIPLE MODE said.
[[nodiscard]] bool in_multiple_blocks(std::uint8_t opcode);

} // namespace undercroft::ide
