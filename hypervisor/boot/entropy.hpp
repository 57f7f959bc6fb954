// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Seeds for the boot id, the boot secret and the fingerprints. The boot id needs to be unique; the secret only has to
// hold until the operating system starts.
#include <cstddef>
#include <cstdint>

#include "hypervisor/boot/boot_info.hpp"

namespace undercroft::boot {

struct Seeds {
    std::uint8_t bytes[32] = {};

    void store(BootInfo& info) const
    {
        __builtin_memcpy(info.boot_id, bytes, 16);
        __builtin_memcpy(&info.boot_secret, bytes + 16, 8);
        __builtin_memcpy(&info.random_seed, bytes + 24, 8);
    }
};

/// One step of splitmix64.
constexpr std::uint64_t mix(std::uint64_t& state, std::uint64_t input)
{
    state += 0x9E3779B97F4A7C15 + input;
    std::uint64_t value = state;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return state = value ^ (value >> 31);
}

/// Adds the jitter of successive readings of the time-stamp counter to what `seeds` holds.
template <typename ReadTsc>
void add_jitter(Seeds& seeds, std::uint64_t state, ReadTsc&& read_tsc)
{
    for (std::uint8_t& byte : seeds.bytes) {
        for (unsigned round = 0; round < 16; ++round)
            mix(state, read_tsc());
        byte = static_cast<std::uint8_t>(byte ^ state);
    }
}

} // namespace undercroft::boot
