// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Intel SDM vol. 3C, 25.6.4 (ports) and 25.6.9 (MSRs). A set bit makes the access exit.
#include <cstdint>

#include "hypervisor/core/shared_bits.hpp"

namespace undercroft::vmx {

/// `bitmap`: reads of MSRs 0 to 1FFFh, reads of C0000000h to C0001FFFh, writes likewise; 1,024 bytes each.
/// Others always exit.
inline void intercept_msr(std::uint8_t* bitmap, std::uint32_t number, bool read, bool write)
{
    constexpr std::uint32_t range = 0x2000, high_start = 0xC0000000, bits_per_kib = 8192;
    bool const high = number >= high_start;
    std::uint32_t const bit = high ? number - high_start : number;
    if (bit >= range)
        return;
    core::set_shared_bit(bitmap, bit + (high ? 1 : 0) * bits_per_kib, read);
    core::set_shared_bit(bitmap, bit + (high ? 3 : 2) * bits_per_kib, write);
}

/// `bitmaps`: A (ports 0 to 7FFFh) and B behind it.
inline void intercept_port(std::uint8_t* bitmaps, std::uint16_t port, bool on)
{
    core::set_shared_bit(bitmaps, port, on);
}

} // namespace undercroft::vmx
