// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/cells.hpp"

#include <algorithm>
#include <optional>

namespace undercroft::serve {
namespace {

constexpr std::uint64_t column_mask = (std::uint64_t{1} << column_bits) - 1;
/// Cells of blocks that a place has room for; an address beyond is no disk's or memory's.
constexpr std::uint64_t most_cells = std::uint64_t{1} << (64 - column_bits);
constexpr std::size_t merge_at = std::size_t{1} << 21;
/// A coarser plane must be this much smaller than the one it is made of.
constexpr double worth = 0.6;

void merge_equal(std::vector<CellEntry>& entries)
{
    std::size_t kept = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (kept != 0 && entries[kept - 1].place == entries[i].place) {
            entries[kept - 1].count += entries[i].count;
            entries[kept - 1].entropy += entries[i].entropy;
        } else {
            entries[kept++] = entries[i];
        }
    }
    entries.resize(kept);
}

void sort_and_merge(std::vector<CellEntry>& entries)
{
    std::ranges::sort(entries, {}, &CellEntry::place);
    merge_equal(entries);
}

std::vector<CellEntry> coarser_time(std::vector<CellEntry> const& fine)
{
    std::vector<CellEntry> coarse;
    coarse.reserve(fine.size());
    for (CellEntry entry : fine) {
        entry.place = (entry.place & ~column_mask) | ((entry.place & column_mask) >> time_shift_step);
        if (!coarse.empty() && coarse.back().place == entry.place) {
            coarse.back().count += entry.count;
            coarse.back().entropy += entry.entropy;
        } else {
            coarse.push_back(entry);
        }
    }
    return coarse;
}

std::vector<CellEntry> coarser_blocks(std::vector<CellEntry> const& fine, unsigned shift)
{
    std::vector<CellEntry> coarse = fine;
    for (CellEntry& entry : coarse)
        entry.place = ((entry.place >> column_bits) >> shift) << column_bits | (entry.place & column_mask);
    sort_and_merge(coarse);
    return coarse;
}

/// One time shift: the base and coarser and coarser blocks, as long as that pays.
void hand_out(PlaneKey key, std::vector<CellEntry> entries, PlaneBuilder::Sink const& sink)
{
    sink(key, entries);
    unsigned shift = key.block_shift;
    while (shift + block_shift_step <= largest_block_shift && entries.size() > 1024) {
        unsigned step = block_shift_step;
        std::vector<CellEntry> coarse = coarser_blocks(entries, step);
        while (static_cast<double>(coarse.size()) > worth * static_cast<double>(entries.size()) &&
               shift + step + block_shift_step <= largest_block_shift) {
            step += block_shift_step;
            coarse = coarser_blocks(coarse, block_shift_step);
        }
        shift += step;
        key.block_shift = static_cast<std::uint8_t>(shift);
        sink(key, coarse);
        entries = std::move(coarse);
    }
}

} // namespace

void PlaneBuilder::add(std::uint16_t source, Layer layer, std::int64_t time_ns, analysis::BlockRun run, float weight,
                       float entropy)
{
    if (run.count == 0)
        return;
    std::int64_t const column = time_ns >> base_time_shift;
    Base& base = bases_[{.window = column >> column_bits,
                         .source = source,
                         .layer = layer,
                         .time_shift = base_time_shift,
                         .block_shift = base_block_shift}];
    auto const in_window = static_cast<std::uint64_t>(column) & column_mask;
    std::uint64_t const end = run.first + std::min(run.count, ~run.first);
    for (std::uint64_t block = run.first; block < end;) {
        std::uint64_t const cell = block >> base_block_shift;
        if (cell >= most_cells)
            break;
        std::uint64_t const next = std::min(end, (cell + 1) << base_block_shift);
        auto const count = static_cast<float>(next - block) * weight;
        std::uint64_t const place = cell << column_bits | in_window;
        if (base.entries.size() > base.merged && base.entries.back().place == place) {
            base.entries.back().count += count;
            base.entries.back().entropy += count * entropy;
        } else {
            base.entries.push_back({.place = place, .count = count, .entropy = count * entropy});
        }
        block = next;
    }
    if (base.entries.size() > 2 * base.merged + merge_at) {
        sort_and_merge(base.entries);
        base.merged = base.entries.size();
    }
}

void PlaneBuilder::finish(Sink const& sink)
{
    for (auto& [key, base] : bases_) {
        sort_and_merge(base.entries);
        PlaneKey at = key;
        hand_out(at, base.entries, sink);
        std::vector<CellEntry> entries = std::move(base.entries);
        while (at.time_shift + time_shift_step <= largest_time_shift && entries.size() > 1024) {
            at.time_shift += time_shift_step;
            std::vector<CellEntry> coarse = coarser_time(entries);
            bool const pays = static_cast<double>(coarse.size()) <= worth * static_cast<double>(entries.size());
            entries = std::move(coarse);
            if (pays)
                hand_out(at, entries, sink);
        }
    }
    bases_.clear();
}

void TileGrids::add_run(TileShape const& shape, Layer layer, std::int64_t time_ns, analysis::BlockRun run,
                        double weight, double entropy)
{
    std::uint64_t const end = std::min(run.first + std::min(run.count, ~run.first), shape.end_block());
    std::int64_t const column = (time_ns >> shape.time_shift) - shape.first_column;
    if (column < 0 || column >= shape.columns)
        return;
    for (std::uint64_t block = std::max(run.first, shape.first_block()); block < end;) {
        std::uint64_t const cell = block >> shape.block_shift;
        std::uint64_t const next = std::min(end, (cell + 1) << shape.block_shift);
        double const count = static_cast<double>(next - block) * weight;
        add(layer,
            static_cast<std::size_t>((cell - shape.first_row) * shape.columns) + static_cast<std::size_t>(column),
            count, count * entropy);
        block = next;
    }
}

void add_plane(TileGrids& grids, TileShape const& shape, PlaneKey const& key, std::span<CellEntry const> entries)
{
    unsigned const block_step = shape.block_shift - key.block_shift;
    unsigned const time_step = shape.time_shift - key.time_shift;
    std::uint64_t const first_cell = shape.first_row << block_step;
    std::uint64_t const end_cell = (shape.first_row + shape.rows) << block_step;
    if (first_cell >= most_cells)
        return;
    std::int64_t const origin = key.window << (column_bits - (key.time_shift - base_time_shift));
    auto at = std::ranges::lower_bound(entries, first_cell << column_bits, {}, &CellEntry::place);
    auto const end = end_cell >= most_cells
                         ? entries.end()
                         : std::ranges::lower_bound(at, entries.end(), end_cell << column_bits, {}, &CellEntry::place);
    for (; at != end; ++at) {
        std::int64_t const column =
            ((origin + static_cast<std::int64_t>(at->place & column_mask)) >> time_step) - shape.first_column;
        if (column < 0 || column >= shape.columns)
            continue;
        std::uint64_t const row = ((at->place >> column_bits) >> block_step) - shape.first_row;
        if (row >= shape.rows) // a damaged file of ours is not sorted
            continue;
        grids.add(key.layer, static_cast<std::size_t>(row) * shape.columns + static_cast<std::size_t>(column),
                  at->count, at->entropy);
    }
}

} // namespace undercroft::serve
