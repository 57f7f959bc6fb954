// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One access as features see it, whatever file or store it came from.
#include <cstdint>
#include <limits>

namespace undercroft::analysis {

enum class TraceKind : std::uint8_t {
    read,
    write,
    flush,
    trim,
    gap,  ///< `bytes`: how many records are missing
    note, ///< nothing but a time
    memory_read,
    memory_write,
    memory_read_write,
    memory_execute,
};

[[nodiscard]] constexpr bool is_memory(TraceKind kind)
{
    return kind >= TraceKind::memory_read;
}

/// RanSMAP's codes of the mapping that a memory access went through.
enum class MappingClass : std::uint8_t { none = 0, page_4k = 1, page_2m = 2, mmio = 4 };

struct Access {
    std::int64_t time_ns{};                                 ///< UTC since 1970
    std::uint64_t address{};                                ///< storage: LBA in 512-byte sectors; memory: bytes
    std::uint32_t bytes{};                                  ///< 0 where the source does not say (memory)
    float entropy{std::numeric_limits<float>::quiet_NaN()}; ///< Shannon bits / 8; NaN: unknown
    TraceKind kind{};
    MappingClass mapping{};
    std::uint16_t source{}; ///< disk
    std::uint16_t flags{};  ///< record_flag bits of wire/record.hpp; 0 where the source does not say
};

} // namespace undercroft::analysis
