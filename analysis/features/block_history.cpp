// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/features/block_history.hpp"

#include <algorithm>
#include <bit>

namespace undercroft::analysis {
namespace {

constexpr unsigned first_bits = 14;

bool is_empty(BlockState const& state)
{
    return state.last_read == 0 && state.last_write == 0;
}

} // namespace

BlockHistory::BlockHistory(std::uint32_t horizon_ms, std::size_t most_blocks)
    : horizon_ms_{horizon_ms},
      most_bits_{std::max(first_bits, static_cast<unsigned>(std::bit_width(std::max<std::size_t>(most_blocks, 2) - 1)))}
{
    resize(first_bits);
}

void BlockHistory::resize(unsigned bits)
{
    table_.assign(std::size_t{1} << bits, {});
    shift_ = 64 - bits;
    used_ = 0;
}

bool BlockHistory::stale(BlockState const& state, HistoryTime now) const
{
    return now > horizon_ms_ && std::max(state.last_read, state.last_write) < now - horizon_ms_;
}

BlockState& BlockHistory::at(std::uint64_t block, HistoryTime now)
{
    // An entry is taken from here on at the latest when its times are set, which every caller does.
    if (used_ * 10 >= table_.size() * 6)
        make_room(now);
    std::size_t const mask = table_.size() - 1;
    for (std::size_t i = place(block);; i = (i + 1) & mask) {
        BlockState& state = table_[i];
        if (is_empty(state)) {
            ++used_;
            state = {.block = block};
            return state;
        }
        if (state.block != block)
            continue;
        HistoryTime const oldest = now > horizon_ms_ ? now - horizon_ms_ : 0;
        state.last_read = state.last_read < oldest ? 0 : state.last_read;
        state.last_write = state.last_write < oldest ? 0 : state.last_write;
        if (state.last_write == 0)
            state.entropy = std::numeric_limits<float>::quiet_NaN();
        return state;
    }
}

void BlockHistory::make_room(HistoryTime now)
{
    std::vector<BlockState> const old = std::move(table_);
    std::size_t const live = static_cast<std::size_t>(
        std::ranges::count_if(old, [&](BlockState const& state) { return !is_empty(state) && !stale(state, now); }));
    unsigned const bits = static_cast<unsigned>(std::bit_width(old.size())) - 1;
    unsigned const wanted = live * 10 >= old.size() * 3 ? bits + 1 : bits;
    resize(std::min(wanted, most_bits_));
    // Nearly full of what is still needed: to go on would mean to come here for every few blocks.
    if (live * 10 >= table_.size() * 5) {
        ++overflows_;
        return;
    }
    std::size_t const mask = table_.size() - 1;
    for (BlockState const& state : old) {
        if (is_empty(state) || stale(state, now))
            continue;
        std::size_t i = place(state.block);
        while (!is_empty(table_[i]))
            i = (i + 1) & mask;
        table_[i] = state;
        ++used_;
    }
}

} // namespace undercroft::analysis
