// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Who a datagram is from, and hexadecimal forms of it.
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace undercroft::collector {

using Id = std::array<std::uint8_t, 16>;

/// One start of one sensor.
struct BootKey {
    Id machine{};
    Id boot{};
    auto operator<=>(BootKey const&) const = default;
};

struct BootKeyHash {
    // Boot ids are random and only authentic ones are ever inserted, so a fold is enough.
    std::size_t operator()(BootKey const& key) const
    {
        std::uint64_t machine = 0;
        std::uint64_t boot = 0;
        std::memcpy(&machine, key.machine.data(), sizeof(machine));
        std::memcpy(&boot, key.boot.data(), sizeof(boot));
        return std::hash<std::uint64_t>{}(machine * 0x9E3779B97F4A7C15U ^ boot);
    }
};

[[nodiscard]] std::string to_hex(std::span<std::uint8_t const> bytes);

/// Exactly 2 * out.size() hexadecimal digits, else false.
[[nodiscard]] bool from_hex(std::string_view text, std::span<std::uint8_t> out);

[[nodiscard]] std::optional<Id> id_from_hex(std::string_view text);

} // namespace undercroft::collector
