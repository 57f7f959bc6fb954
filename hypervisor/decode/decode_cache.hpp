// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "hypervisor/decode/mmio_decode.hpp"

namespace undercroft::decode {

/// Decoding costs thousands of instructions and a driver's few MOVs come again and again.
/// The key is what `decoder` is given, so an entry can never be out of date. One per CPU.
template <typename Decoded, bool (*decoder)(std::span<std::uint8_t const>, CodeMode, Decoded&)>
class BasicDecodeCache {
public:
    static constexpr std::size_t entries = 64;

    /// `bytes`: at most 16 are looked at. The result is the decoder's, valid until the next call.
    [[nodiscard]] Decoded const& decode(std::span<std::uint8_t const> bytes, CodeMode mode)
    {
        Key key{};
        key.count = static_cast<std::uint8_t>(bytes.size() < 16 ? bytes.size() : 16);
        key.mode = static_cast<std::uint8_t>(mode) + 1;
        if (key.count == sizeof(key.bytes))
            __builtin_memcpy(key.bytes, bytes.data(), sizeof(key.bytes)); // the usual case, in place
        else if (key.count != 0)
            std::memcpy(key.bytes, bytes.data(), key.count);
        Entry& entry = entries_[slot(key)];
        if (!same(entry.key, key)) {
            ++misses_;
            (void)decoder(bytes.first(key.count), mode, entry.decoded);
            entry.key = key;
        }
        return entry.decoded;
    }
    [[nodiscard]] std::uint64_t misses() const { return misses_; }

private:
    struct Key {
        std::uint8_t bytes[16];
        std::uint8_t count;
        std::uint8_t mode; ///< CodeMode + 1; 0 in entries never used
    };
    /// As words: freestanding, memcmp is a call of a loop over bytes.
    static bool same(Key const& a, Key const& b)
    {
        std::uint64_t x[2], y[2];
        __builtin_memcpy(x, a.bytes, sizeof(x));
        __builtin_memcpy(y, b.bytes, sizeof(y));
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0 && a.count == b.count && a.mode == b.mode;
    }
    struct Entry {
        Key key{};
        Decoded decoded;
    };
    static std::size_t slot(Key const& key)
    {
        std::uint64_t halves[2];
        __builtin_memcpy(halves, key.bytes, sizeof(halves));
        std::uint64_t const mixed = (halves[0] ^ (halves[1] >> 7) ^ key.mode) * 0x9E37'79B9'7F4A'7C15ULL;
        return mixed >> 58;
    }
    static_assert(entries == 1U << (64 - 58));

    std::array<Entry, entries> entries_{};
    std::uint64_t misses_ = 0;
};

using DecodeCache = BasicDecodeCache<DecodedAccess, &decode>;

} // namespace undercroft::decode
