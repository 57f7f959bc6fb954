// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Counts of byte values, kept where counting is cheapest.
#include <array>
#include <cstddef>
#include <cstdint>

namespace undercroft::observe {

/// One load, whatever the alignment.
inline std::uint64_t load_word(std::byte const* at)
{
    std::uint64_t word;
    __builtin_memcpy(&word, at, sizeof(word));
    // The block may be guest memory: this value must not be loaded a second time.
    asm("" : "+r"(word));
    return word;
}

class Histogram {
public:
    void clear()
    {
        // A loop of stores: memset of the freestanding library may go byte by byte.
        for (std::size_t i = 0; i < 256; i += 4) {
            clear_four(&even_[i]);
            clear_four(&odd_[i]);
        }
    }
    void add_word(std::uint64_t word)
    {
        ++even_[word & 0xff];
        ++odd_[word >> 8 & 0xff];
        ++even_[word >> 16 & 0xff];
        ++odd_[word >> 24 & 0xff];
        ++even_[word >> 32 & 0xff];
        ++odd_[word >> 40 & 0xff];
        ++even_[word >> 48 & 0xff];
        ++odd_[word >> 56];
    }
    void add_byte(std::uint8_t byte) { ++even_[byte]; }
    /// Of the `bytes` bytes added since clear().
    [[nodiscard]] std::uint16_t entropy(std::size_t bytes) const;

private:
    static void clear_four(std::uint32_t* at)
    {
        std::uint64_t zero = 0;
        asm("" : "+r"(zero)); // keeps the loop from becoming a call of memset
        __builtin_memcpy(at, &zero, 8);
        __builtin_memcpy(at + 2, &zero, 8);
    }
    alignas(64) std::array<std::uint32_t, 256> even_;
    alignas(64) std::array<std::uint32_t, 256> odd_;
};

/// True when the block is one 8-byte word again and again (zeros above all): then `entropy` is its entropy.
/// Ends at the first difference, so it costs nothing for other blocks.
[[nodiscard]] bool is_pattern(std::byte const* block, std::size_t bytes, std::uint16_t& entropy);

} // namespace undercroft::observe
