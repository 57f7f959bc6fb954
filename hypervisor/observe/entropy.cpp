// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One load and eight increments for eight bytes. 32-bit counters: 16-bit ones cost half as much
// again in an emulator. Two tables: equal neighbours would otherwise wait for each other's store.
#include "hypervisor/observe/entropy.hpp"

#include <array>

#include "hypervisor/observe/histogram.hpp"
#include "hypervisor/observe/log_table.hpp"

namespace undercroft::observe {
namespace {

constexpr LogTable table = make_log_table();
static_assert(table[1] == 0 && table[2] == 2U << log_table_fraction_bits);

/// sum over all byte values of n * log2(n), from which the entropy of `bytes` bytes follows.
std::uint16_t from_sum(std::uint64_t sum, std::size_t bytes)
{
    std::uint64_t const all = table[bytes];
    std::uint64_t const bits = all > sum ? all - sum : 0;
    if (bytes == max_entropy_bytes) { // the common case without a division
        constexpr unsigned shift = 12 + 3 + log_table_fraction_bits;
        return static_cast<std::uint16_t>((bits * 65535 + (std::uint64_t{1} << (shift - 1))) >> shift);
    }
    std::uint64_t const unit = (std::uint64_t{bytes} * 8) << log_table_fraction_bits;
    return static_cast<std::uint16_t>((bits * 65535 + unit / 2) / unit);
}

std::uint16_t of_pattern(std::uint64_t word)
{
    std::array<std::uint8_t, 8> bytes;
    __builtin_memcpy(bytes.data(), &word, sizeof(word));
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        unsigned same = 0;
        bool first = true;
        for (std::size_t j = 0; j < bytes.size(); ++j) {
            same += bytes[j] == bytes[i] ? 1U : 0U;
            first = first && (j >= i || bytes[j] != bytes[i]);
        }
        sum += first ? table[same] : 0;
    }
    return from_sum(sum, 8);
}

} // namespace

std::uint16_t Histogram::entropy(std::size_t bytes) const
{
    if (bytes == 0 || bytes > max_entropy_bytes)
        return 0;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < 256; i += 4) {
        std::uint64_t const a = table[even_[i] + odd_[i]] + std::uint64_t{table[even_[i + 1] + odd_[i + 1]]};
        std::uint64_t const b = table[even_[i + 2] + odd_[i + 2]] + std::uint64_t{table[even_[i + 3] + odd_[i + 3]]};
        sum += a + b;
    }
    return from_sum(sum, bytes);
}

bool is_pattern(std::byte const* block, std::size_t bytes, std::uint16_t& entropy)
{
    if (bytes % 64 != 0 || bytes == 0)
        return false;
    std::uint64_t const first = load_word(block);
    for (std::byte const* at = block; at != block + bytes; at += 64) {
        std::uint64_t const a = (load_word(at) ^ first) | (load_word(at + 8) ^ first);
        std::uint64_t const b = (load_word(at + 16) ^ first) | (load_word(at + 24) ^ first);
        std::uint64_t const c = (load_word(at + 32) ^ first) | (load_word(at + 40) ^ first);
        std::uint64_t const d = (load_word(at + 48) ^ first) | (load_word(at + 56) ^ first);
        if ((a | b | c | d) != 0)
            return false;
    }
    entropy = of_pattern(first);
    return true;
}

std::uint16_t entropy(std::byte const* block, std::size_t bytes)
{
    std::uint16_t result = 0;
    if (bytes == 0 || bytes > max_entropy_bytes || is_pattern(block, bytes, result))
        return result;
    Histogram histogram;
    histogram.clear();
    std::size_t at = 0;
    for (; at + 8 <= bytes; at += 8)
        histogram.add_word(load_word(block + at));
    for (; at < bytes; ++at)
        histogram.add_byte(static_cast<std::uint8_t>(block[at]));
    return histogram.entropy(bytes);
}

} // namespace undercroft::observe
