// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Accesses counted in cells of time and address whose sides are powers of two, sparse and sorted, so that a tile of any
// zoom is summed up from few of them.
//
// A cell of time shift t and block shift b spans 2^t ns by 2^b blocks of 4 KiB. The finest kept are base_time_shift and
// base_block_shift; what is finer is counted from the records themselves (row_cache.hpp).
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "analysis/heatmap/grid.hpp"

namespace undercroft::serve {

inline constexpr unsigned base_time_shift = 28;     ///< 0.27 s
inline constexpr unsigned base_block_shift = 4;     ///< 64 KiB
inline constexpr unsigned time_shift_step = 3;      ///< between planes
inline constexpr unsigned block_shift_step = 4;     ///< between planes
inline constexpr unsigned largest_time_shift = 46;  ///< 19.5 h
inline constexpr unsigned largest_block_shift = 40; ///< 4 PiB
inline constexpr unsigned column_bits = 20;

/// What is counted apart. Entropy is known or not for each record, and only the former can be averaged.
enum class Layer : std::uint8_t { read, write_known, write_unknown, execute };

/// `place` = cell of blocks << column_bits | column of time within the plane's window.
struct CellEntry {
    std::uint64_t place{};
    float count{};   ///< blocks (disks), page accesses (memory)
    float entropy{}; ///< write_known: sum over these
};
static_assert(sizeof(CellEntry) == 16);

struct PlaneKey {
    std::int64_t window{}; ///< time >> (base_time_shift + column_bits): 3.3 days
    std::uint16_t source{};
    Layer layer{};
    std::uint8_t time_shift{};
    std::uint8_t block_shift{};
    std::uint8_t padding[3]{};
    auto operator<=>(PlaneKey const&) const = default;
};
static_assert(sizeof(PlaneKey) == 16);

/// Gathers the entries of a batch of records in bounded memory and hands out its planes.
class PlaneBuilder {
public:
    using Sink = std::function<void(PlaneKey const&, std::span<CellEntry const>)>;

    /// `weight` is what each block counts.
    void add(std::uint16_t source, Layer layer, std::int64_t time_ns, analysis::BlockRun run, float weight,
             float entropy);
    /// Hands out the planes, sorted by place. A coarser plane is left out where it would save little.
    void finish(Sink const& sink);
    [[nodiscard]] bool empty() const { return bases_.empty(); }

private:
    struct Base {
        std::vector<CellEntry> entries;
        std::size_t merged{}; ///< the first of them are sorted, each place once
    };
    std::map<PlaneKey, Base> bases_;
};

/// A tile: cells [first_column, + columns) of time, since 1970, by [first_row, + rows) of blocks.
struct TileShape {
    unsigned time_shift{};
    unsigned block_shift{};
    std::int64_t first_column{};
    std::uint64_t first_row{};
    std::uint32_t columns{};
    std::uint32_t rows{};

    [[nodiscard]] std::int64_t from_ns() const { return first_column << time_shift; }
    [[nodiscard]] std::int64_t to_ns() const { return (first_column + columns) << time_shift; }
    [[nodiscard]] std::uint64_t first_block() const { return first_row << block_shift; }
    [[nodiscard]] std::uint64_t end_block() const { return (first_row + rows) << block_shift; }
    [[nodiscard]] std::size_t cells() const { return std::size_t{columns} * rows; }
};

/// Counts of a tile, row by row from the lowest address.
struct TileGrids {
    explicit TileGrids(TileShape const& shape)
        : reads(shape.cells()), writes(shape.cells()), executes(shape.cells()), entropy_sum(shape.cells()),
          entropy_count(shape.cells())
    {
    }
    void add(Layer layer, std::size_t cell, double count, double entropy)
    {
        switch (layer) {
        case Layer::read:
            reads[cell] += count;
            break;
        case Layer::write_known:
            entropy_sum[cell] += entropy;
            entropy_count[cell] += count;
            [[fallthrough]];
        case Layer::write_unknown:
            writes[cell] += count;
            break;
        case Layer::execute:
            executes[cell] += count;
            break;
        }
    }
    /// Blocks of one record at one time, as far as they lie in the tile.
    void add_run(TileShape const& shape, Layer layer, std::int64_t time_ns, analysis::BlockRun run, double weight,
                 double entropy);

    std::vector<double> reads, writes, executes, entropy_sum, entropy_count;
};

/// The plane's shifts must not be larger than the tile's.
void add_plane(TileGrids& grids, TileShape const& shape, PlaneKey const& key, std::span<CellEntry const> entries);

} // namespace undercroft::serve
