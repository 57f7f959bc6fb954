// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::core {

/// One bit of a map that several CPUs change, and processors read, at the same time.
inline void set_shared_bit(std::uint8_t* map, std::uint64_t bit, bool on)
{
    auto const mask = static_cast<std::uint8_t>(1U << (bit % 8));
    if (on)
        __atomic_fetch_or(&map[bit / 8], mask, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&map[bit / 8], static_cast<std::uint8_t>(~mask), __ATOMIC_SEQ_CST);
}

} // namespace undercroft::core
