// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/observe/entropy.hpp"

#include <array>
#include <cstring>

#include "hypervisor/observe/log_table.hpp"

namespace undercroft::observe {
namespace {

constexpr LogTable table = make_log_table();
static_assert(table[1] == 0 && table[2] == 2U << log_table_fraction_bits);

std::uint64_t load8(std::byte const* at)
{
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    return word;
}

} // namespace

std::uint16_t entropy(std::byte const* block, std::size_t bytes)
{
    if (bytes == 0 || bytes > max_entropy_bytes)
        return 0;
    std::array<std::uint16_t, 256> counts{};
    std::size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        std::uint64_t const word = load8(block + at);
        for (unsigned i = 0; i < 64; i += 8)
            ++counts[word >> i & 0xff];
    }
    for (; at < bytes; ++at)
        ++counts[static_cast<std::uint8_t>(block[at])];
    std::uint64_t sum = 0;
    for (std::uint16_t n : counts)
        sum += table[n];
    std::uint64_t const bits = table[bytes] > sum ? table[bytes] - sum : 0; // bytes * entropy
    std::uint64_t const unit = (std::uint64_t{bytes} * 8) << log_table_fraction_bits;
    return static_cast<std::uint16_t>((bits * 65535 + unit / 2) / unit);
}

} // namespace undercroft::observe
