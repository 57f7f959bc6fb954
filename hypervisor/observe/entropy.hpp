// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Shannon entropy of a block's bytes, without floating point.
#include <cstddef>
#include <cstdint>

namespace undercroft::observe {

inline constexpr std::size_t max_entropy_bytes = 4096;

/// Entropy of the byte histogram in bits, divided by 8, as round(x * 65535): 0 for a block of
/// equal bytes, 65535 when all 256 values are equally frequent. Within 1 of exact arithmetic.
/// bytes is at most 4,096; 0 bytes have entropy 0. The block may be guest memory that changes
/// meanwhile: the result is then that of no particular moment, but always a valid one.
[[nodiscard]] std::uint16_t entropy(std::byte const* block, std::size_t bytes);

} // namespace undercroft::observe
