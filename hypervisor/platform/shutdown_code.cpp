// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/shutdown_code.hpp"

namespace undercroft::platform {

std::optional<std::uint8_t> ShutdownCode::written(std::uint16_t port, unsigned width, std::uint32_t value)
{
    constexpr std::uint8_t index_mask = 0x7F, shutdown_status = 0x0F; // bit 7 of the index port masks NMIs
    std::optional<std::uint8_t> code;
    for (unsigned i = 0; i < width && i < sizeof(value); ++i) {
        auto const byte = static_cast<std::uint8_t>(value >> (8 * i));
        if (port + i == ports.first)
            index_.store(byte & index_mask, std::memory_order_relaxed);
        else if (port + i == ports.first + 1U && index_.load(std::memory_order_relaxed) == shutdown_status)
            code = byte;
    }
    return code;
}

} // namespace undercroft::platform
