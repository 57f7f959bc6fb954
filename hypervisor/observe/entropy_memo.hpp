// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Remembers the entropy of blocks seen lately. Systems write the same 4 KiB again and again (journal
// and final place, rewritten metadata, padding, copies), and a keyed fingerprint of a block costs a
// tenth of its histogram.
#include <array>
#include <cstddef>
#include <cstdint>

#include "hypervisor/observe/entropy.hpp"

namespace undercroft::observe {

/// One user at a time. The fingerprint is 112 bits of a multiply hash under a key that the guest does
/// not know: two different blocks are mistaken for each other with a chance below 2^-80 per table full.
/// An entry is made from the very words that were counted, so a guest that edits the
/// block meanwhile cannot plant a wrong value for other content.
class EntropyMemo {
public:
    explicit EntropyMemo(std::uint64_t key) : key_{key} {}
    /// As entropy(block, bytes).
    [[nodiscard]] std::uint16_t entropy(std::byte const* block, std::size_t bytes);
    [[nodiscard]] std::uint64_t hits() const { return hits_; }

private:
    struct Fingerprint {
        std::uint64_t first, second;
    };
    struct Entry {
        std::uint64_t first = 0;
        std::uint64_t second_and_entropy = 0; ///< upper 48 bits, lower 16 bits
    };
    class Hash;
    static constexpr std::size_t entries = 16384; ///< covers 64 MiB of different blocks

    [[nodiscard]] Entry& entry_of(Fingerprint const& print) { return table_[print.second % entries]; }

    std::uint64_t key_;
    std::uint64_t hits_ = 0;
    std::uint64_t misses_in_a_row_ = 0;
    std::array<Entry, entries> table_{};
};

} // namespace undercroft::observe
