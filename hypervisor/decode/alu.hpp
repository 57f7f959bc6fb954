// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/width.hpp"
#include "hypervisor/decode/mmio_decode.hpp"

namespace undercroft::decode {

namespace flag {
inline constexpr std::uint64_t carry = 1ULL << 0;
inline constexpr std::uint64_t parity = 1ULL << 2;
inline constexpr std::uint64_t adjust = 1ULL << 4;
inline constexpr std::uint64_t zero = 1ULL << 6;
inline constexpr std::uint64_t sign = 1ULL << 7;
inline constexpr std::uint64_t direction = 1ULL << 10;
inline constexpr std::uint64_t overflow = 1ULL << 11;
inline constexpr std::uint64_t status = carry | parity | adjust | zero | sign | overflow;
} // namespace flag

/// value = left `alu` right in `width` bytes; changes the flags that the instruction
/// defines (Intel SDM vol. 2, "Flags Affected" of each).
[[nodiscard]] std::uint64_t compute(Alu alu, std::uint64_t left, std::uint64_t right, unsigned width,
                                    std::uint64_t& rflags);

} // namespace undercroft::decode
