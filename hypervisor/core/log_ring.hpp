// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The log's memory: whole lines, numbered 0, 1, 2 ..., the oldest give way to new ones.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "hypervisor/core/log.hpp"
#include "hypervisor/core/spinlock.hpp"

namespace undercroft::core {

/// What one read gave.
struct LogRead {
    std::size_t bytes = 0;  ///< put into the caller's buffer: whole lines, each ended by a newline
    std::uint64_t next = 0; ///< cursor for the next read
    std::uint64_t lost = 0; ///< lines between the cursor and the first line given that had already given way
};

/// Safe on any CPU; writers and readers wait for each other, but never for ever: a writer
/// that cannot get the lock (it interrupted its holder) gives its line up and counts it.
class LogRing {
public:
    /// Longest text of one line; a longer one continues on the next.
    static constexpr std::size_t max_text = 400;
    /// A buffer of this size always takes at least one line.
    static constexpr std::size_t min_read_bytes = max_text + 64;

    /// \p memory must hold a few lines of max_text (at least 1024 bytes) and stay.
    explicit constexpr LogRing(std::span<char> memory) : memory_{memory} {}

    /// Control characters become '?': the text may quote the guest.
    void append(LogLevel level, std::uint64_t time_ns, std::string_view text);
    /// Lines from \p cursor on (0: from the oldest there is), as "sequence seconds level: text".
    [[nodiscard]] LogRead read(std::uint64_t cursor, std::span<char> into) const;
    /// The number that the next line will get.
    [[nodiscard]] std::uint64_t next_sequence() const { return next_sequence_.load(std::memory_order_acquire); }
    /// Lines given up because the lock was not to be had.
    [[nodiscard]] std::uint64_t given_up() const { return given_up_.load(std::memory_order_relaxed); }

private:
    struct Entry {
        std::uint64_t time_ns;
        std::uint16_t length;
        std::uint8_t level;
    };
    void append_piece(LogLevel level, std::uint64_t time_ns, std::string_view text);
    void put_bytes(std::uint64_t position, void const* from, std::size_t bytes);
    void get_bytes(std::uint64_t position, void* into, std::size_t bytes) const;
    [[nodiscard]] std::size_t format(std::uint64_t position, std::uint64_t sequence, std::span<char> into) const;
    [[nodiscard]] std::size_t entry_bytes(std::uint64_t position) const;

    std::span<char> memory_;
    std::uint64_t head_ = 0, tail_ = 0; ///< byte positions that only grow; the ring index is their remainder
    std::uint64_t oldest_sequence_ = 0;
    std::atomic<std::uint64_t> next_sequence_{0};
    std::atomic<std::uint64_t> given_up_{0};
    std::uint64_t given_up_reported_ = 0;
    mutable Spinlock lock_;
};

} // namespace undercroft::core
