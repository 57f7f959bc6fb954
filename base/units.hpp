// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <compare>
#include <cstdint>

namespace undercroft {

/// Guest-physical address in bytes. The mapping is identity, so for guest RAM
/// it is the host-physical address too.
struct Gpa {
    std::uint64_t value{};
    constexpr auto operator<=>(Gpa const&) const = default;
    [[nodiscard]] constexpr Gpa operator+(std::uint64_t bytes) const { return Gpa{value + bytes}; }
};

/// Guest-virtual (linear) address in bytes.
struct Gva {
    std::uint64_t value{};
    constexpr auto operator<=>(Gva const&) const = default;
};

/// Logical block address in units of 512 bytes, whatever the device's sector size.
struct Lba {
    std::uint64_t value{};
    constexpr auto operator<=>(Lba const&) const = default;
};

/// Time-stamp counter reading. Always 64 bits; differences are in TSC ticks.
struct Tsc {
    std::uint64_t value{};
    constexpr auto operator<=>(Tsc const&) const = default;
};

/// UTC in nanoseconds since 1970-01-01 (no leap seconds), valid until 2554.
struct UtcNs {
    std::uint64_t value{};
    constexpr auto operator<=>(UtcNs const&) const = default;
};

inline constexpr std::uint64_t page_bytes = 4096;

} // namespace undercroft
