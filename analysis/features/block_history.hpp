// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What happened to each 4 KiB block of a disk within the last minutes: an open hash table of bounded size.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace undercroft::analysis {

/// Milliseconds since the history's beginning plus 1; 0: never.
using HistoryTime = std::uint32_t;

struct BlockState {
    std::uint64_t block{}; ///< LBA / 8, with the disk in the upper 16 bits
    HistoryTime last_read{};
    HistoryTime last_write{};
    float entropy = std::numeric_limits<float>::quiet_NaN(); ///< of the last write; NaN: unknown
    bool overwritten{};                                      ///< written since the last read
};

class BlockHistory {
public:
    /// Blocks not touched for `horizon_ms` are forgotten, and all of them when more than `most_blocks` were touched
    /// within it. `most_blocks` is rounded up to a power of two.
    BlockHistory(std::uint32_t horizon_ms, std::size_t most_blocks);

    /// The block's entry, a new one if there is none. Times older than the horizon read as never.
    /// The reference holds until the next call.
    BlockState& at(std::uint64_t block, HistoryTime now);
    void prefetch(std::uint64_t block) const { __builtin_prefetch(&table_[place(block)]); }

    /// How often everything had to be forgotten because the table was full.
    [[nodiscard]] std::uint64_t overflows() const { return overflows_; }

private:
    [[nodiscard]] std::size_t place(std::uint64_t block) const
    {
        return static_cast<std::size_t>((block * 0x9E3779B97F4A7C15U) >> shift_);
    }
    [[nodiscard]] bool stale(BlockState const& state, HistoryTime now) const;
    void make_room(HistoryTime now);
    void resize(unsigned bits);

    std::uint32_t horizon_ms_;
    unsigned most_bits_;
    unsigned shift_ = 0;
    std::size_t used_ = 0;
    std::uint64_t overflows_ = 0;
    std::vector<BlockState> table_;
};

} // namespace undercroft::analysis
