// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace undercroft {

/// A little-endian unsigned integer with alignment 1. It cannot be built from
/// any other type than T, so an already swapped or wider value is refused.
template <std::unsigned_integral T>
class Le {
public:
    constexpr Le() = default;
    constexpr Le(std::same_as<T> auto value) { set(value); }

    [[nodiscard]] constexpr T get() const
    {
        T result{};
        for (std::size_t i = 0; i < sizeof(T); ++i)
            result = static_cast<T>(result | static_cast<T>(static_cast<T>(bytes_[i]) << (8 * i)));
        return result;
    }
    constexpr bool operator==(Le const&) const = default;

private:
    constexpr void set(T value)
    {
        for (std::size_t i = 0; i < sizeof(T); ++i)
            bytes_[i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
    std::uint8_t bytes_[sizeof(T)]{};
};

} // namespace undercroft
