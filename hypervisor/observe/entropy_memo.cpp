// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/observe/entropy_memo.hpp"

#include <bit>

#include "hypervisor/observe/histogram.hpp"

namespace undercroft::observe {
namespace {

constexpr std::uint64_t odd_constant = 0x9e3779b97f4a7c15ULL;
/// After so many misses only one block in eight is looked up, until one is found again. All are
/// remembered, so whatever repeats is noticed soon.
constexpr std::uint64_t cold_after = 64;

} // namespace

/// Two words per 64 x 64 -> 128 bit multiplication, both halves kept.
class EntropyMemo::Hash {
public:
    explicit Hash(std::uint64_t key) : a_{key}, b_{std::rotl(key, 32) ^ odd_constant}, key_{key * odd_constant | 1U} {}
    void add(std::uint64_t first, std::uint64_t second)
    {
        auto const product = static_cast<unsigned __int128>(first ^ a_) * (second ^ key_);
        a_ += static_cast<std::uint64_t>(product) ^ second;
        b_ = (b_ ^ static_cast<std::uint64_t>(product >> 64)) + a_;
    }
    [[nodiscard]] Fingerprint value() const
    {
        auto const product = static_cast<unsigned __int128>(a_ ^ odd_constant) * (b_ | 1U);
        return {a_ ^ static_cast<std::uint64_t>(product >> 64), b_ + static_cast<std::uint64_t>(product)};
    }

private:
    std::uint64_t a_, b_, key_;
};

std::uint16_t EntropyMemo::entropy(std::byte const* block, std::size_t bytes)
{
    std::uint16_t result = 0;
    if (bytes != max_entropy_bytes)
        return observe::entropy(block, bytes);
    if (is_pattern(block, bytes, result))
        return result;
    if (misses_in_a_row_ < cold_after || misses_in_a_row_ % 8 == 0) {
        Hash hash{key_};
        for (std::size_t at = 0; at < max_entropy_bytes; at += 16)
            hash.add(load_word(block + at), load_word(block + at + 8));
        Fingerprint const print = hash.value();
        Entry const& entry = entry_of(print);
        if (entry.first == print.first && (entry.second_and_entropy ^ print.second) >> 16 == 0) {
            ++hits_;
            misses_in_a_row_ = 0;
            return static_cast<std::uint16_t>(entry.second_and_entropy);
        }
    }
    ++misses_in_a_row_;
    Hash hash{key_};
    Histogram histogram;
    histogram.clear();
    for (std::size_t at = 0; at < max_entropy_bytes; at += 16) {
        std::uint64_t const first = load_word(block + at);
        std::uint64_t const second = load_word(block + at + 8);
        hash.add(first, second);
        histogram.add_word(first);
        histogram.add_word(second);
    }
    result = histogram.entropy(bytes);
    Fingerprint const print = hash.value();
    entry_of(print) = {print.first, (print.second & ~std::uint64_t{0xffff}) | result};
    return result;
}

} // namespace undercroft::observe
