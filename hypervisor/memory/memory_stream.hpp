// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory stream as engines write to it (docs/formats/record.md, "The memory stream").
#include <cstddef>
#include <cstdint>

#include "hypervisor/memory/page_view.hpp"
#include "wire/record.hpp"

namespace undercroft::memory {

class MemoryStream {
public:
    /// Appends a record; its time, flags of content (has_content, time_unsynchronised) and content_bytes are filled in
    /// here from `at` and `content` (nullptr: none; else record.length bytes). False: no room; it is counted as dropped
    /// and its sequence number is spent.
    virtual bool put(wire::Record record, std::byte const* content, Tsc at) = 0;
    /// Bytes that may be put before records are dropped (a part is kept for the sensor's own words).
    [[nodiscard]] virtual std::uint64_t room() const = 0;
    [[nodiscard]] virtual std::uint64_t capacity() const = 0;
    /// Entropy of 4,096 bytes as records have it.
    [[nodiscard]] virtual std::uint16_t entropy(std::byte const* page) = 0;

protected:
    ~MemoryStream() = default;
};

inline constexpr std::uint32_t max_range_record_bytes = 0xFFFFF000; ///< memory_armed and the like: 2^32 - 4,096

/// memory_armed, memory_disarmed, memory_scanned: longer ranges are split. `page_class`: of a range that was scanned,
/// the size of the pages whose bits were read.
inline void put_range(MemoryStream& stream, wire::Kind kind, std::uint16_t mode, PageRange range, Tsc at,
                      wire::PageClass page_class = wire::PageClass::none)
{
    for (std::uint64_t begin = range.begin.value; begin < range.end();) {
        std::uint64_t const left = range.end() - begin;
        std::uint64_t const bytes = left < max_range_record_bytes ? left : max_range_record_bytes;
        wire::Record record{};
        record.kind = static_cast<std::uint8_t>(kind);
        record.address = begin;
        record.length = static_cast<std::uint32_t>(bytes);
        record.source = mode;
        record.page_class = static_cast<std::uint8_t>(page_class);
        (void)stream.put(record, nullptr, at);
        begin += bytes;
    }
}

} // namespace undercroft::memory
