// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Pages that deserve more than a bit: those written lately lose the right to be executed, and those that hold
// what looks encrypted also lose the right to be written, so that the next such access is seen with its time, its CPU
// and its place. Few pages at a time, each for one access or a short while.
#include <array>
#include <cstddef>
#include <cstdint>

#include "hypervisor/memory/engine.hpp"

namespace undercroft::memory {

class FaultCapture {
public:
    static constexpr std::size_t max_armed = 64;
    static constexpr std::size_t max_candidates = 4;      ///< of one scan
    static constexpr std::uint16_t high_entropy = 0xF333; ///< 0.95: what compresses no more
    static constexpr std::uint64_t armed_for_ms = 2000;

    explicit FaultCapture(EngineParts const& parts) : parts_{parts} {}

    /// A small page was found written by this scan. Each is as likely to be kept as any other.
    void consider(Gpa page);
    /// Looks at the candidates and arms them. True: rights were taken, which holds after a flush.
    [[nodiscard]] bool arm_candidates(Tsc now);
    /// Says what was seen and opens the page again. False: not armed by this.
    [[nodiscard]] bool on_fault(Fault const& fault);
    void expire(Tsc now);
    /// Gives rights back for all pages in the range.
    void release(PageRange range, Tsc now);
    void clear() { armed_count_ = candidates_ = seen_ = 0; }

    [[nodiscard]] std::uint64_t records() const { return records_; }

private:
    struct Armed {
        Gpa page{};
        Tsc since{};
    };
    void arm(Gpa page, bool also_writes, Tsc now);
    void disarm(std::size_t index, Tsc now);
    void say(wire::Kind kind, Gpa gpa, std::uint16_t source, std::uint16_t flags, std::uint16_t entropy, Tsc now);

    EngineParts parts_;
    std::array<Armed, max_armed> armed_{};
    std::size_t armed_count_ = 0;
    std::array<Gpa, max_candidates> candidate_{};
    std::size_t candidates_ = 0;
    std::uint64_t seen_ = 0; ///< candidates offered in this scan
    std::uint64_t random_ = 0x9E3779B97F4A7C15;
    std::uint64_t records_ = 0;
    alignas(64) std::array<std::byte, page_bytes> content_{};
};

} // namespace undercroft::memory
