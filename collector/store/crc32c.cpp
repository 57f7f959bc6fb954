// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/crc32c.hpp"

#include <array>
#include <cstring>

namespace undercroft::collector {
namespace {

constexpr std::array<std::uint32_t, 256> make_table()
{
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = (value & 1) != 0 ? value >> 1 ^ 0x82F63B78U : value >> 1;
        table[i] = value;
    }
    return table;
}

constexpr auto table = make_table();

#ifdef __x86_64__
__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(std::uint32_t crc,
                                                                      std::span<std::uint8_t const> bytes)
{
    std::uint64_t state = ~crc;
    std::uint8_t const* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof(word));
        state = __builtin_ia32_crc32di(state, word);
    }
    auto narrow = static_cast<std::uint32_t>(state);
    for (; left > 0; --left)
        narrow = __builtin_ia32_crc32qi(narrow, *at++);
    return ~narrow;
}
#endif

} // namespace

std::uint32_t crc32c_by_table(std::uint32_t crc, std::span<std::uint8_t const> bytes)
{
    crc = ~crc;
    for (std::uint8_t const byte : bytes)
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF];
    return ~crc;
}

std::uint32_t crc32c(std::uint32_t crc, std::span<std::uint8_t const> bytes)
{
#ifdef __x86_64__
    static bool const has_instruction = __builtin_cpu_supports("sse4.2") != 0;
    if (has_instruction)
        return crc32c_by_instruction(crc, bytes);
#endif
    return crc32c_by_table(crc, bytes);
}

} // namespace undercroft::collector
