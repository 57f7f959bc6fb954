// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One page from guest memory into the stream, or, while that is full, into a small reserve.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/memory/engine.hpp"

namespace undercroft::memory {

struct ReservedPage {
    wire::Record record;
    Tsc copied{};
    alignas(64) std::array<std::byte, page_bytes> content;
};

/// Never loses a page: what finds no room is not taken. One caller at a time.
class PageCopier {
public:
    /// `reserve` may be empty.
    PageCopier(EngineParts const& parts, std::span<ReservedPage> reserve) : parts_{parts}, reserve_{reserve} {}

    enum class Result : std::uint8_t {
        recorded,
        reserved,  ///< drain() will record it
        no_room,   ///< to be tried again
        unreadable ///< there is no RAM
    };
    /// The page as it is now.
    [[nodiscard]] Result copy(Gpa page, std::uint16_t cpu, bool may_use_reserve);
    /// Moves what was reserved into the stream as far as there is room. True: nothing is left.
    [[nodiscard]] bool drain();
    /// Forgets what was reserved.
    void clear() { first_ = used_ = 0; }
    [[nodiscard]] std::size_t reserved() const { return used_; }
    /// Bytes in the stream for the page copied last.
    [[nodiscard]] std::uint64_t last_bytes() const { return last_bytes_; }
    /// A record without content has room, too.
    [[nodiscard]] bool has_room() const { return parts_.stream->room() >= sizeof(wire::Record) + page_bytes; }

private:
    [[nodiscard]] wire::Record describe(Gpa page, std::uint16_t cpu, std::byte const* content);
    [[nodiscard]] bool put(wire::Record const& record, std::byte const* content, Tsc at);

    EngineParts parts_;
    std::span<ReservedPage> reserve_;
    std::size_t first_ = 0, used_ = 0;
    std::uint64_t last_bytes_ = 0;
    alignas(64) std::array<std::byte, page_bytes> scratch_{};
};

} // namespace undercroft::memory
