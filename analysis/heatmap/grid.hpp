// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Counts of disk accesses over time and LBA.
#include <cstdint>
#include <vector>

#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

inline constexpr std::uint64_t sectors_per_block = 8; ///< 4,096 bytes

enum class CountMode : std::uint8_t {
    blocks,   ///< each 4 KiB block that a request touches counts once
    requests, ///< each request counts once, at its first block
};

/// Blocks [first, end) counted for one row; count 0: the row adds nothing.
struct BlockRun {
    std::uint64_t first{};
    std::uint64_t count{};
};

/// Turns rows into block runs. A write command comes as several rows cut at 4,096 bytes from its start; when it
/// is not aligned, neighbouring rows share a block, which is counted for the command once.
class BlockCounter {
public:
    explicit BlockCounter(CountMode mode) : mode_{mode} {}

    /// Rows must be passed in sequence order, gap rows included.
    [[nodiscard]] BlockRun count(RecordRow const& row);

private:
    CountMode mode_;
    RecordRow previous_{.kind = RecordKind::gap};
};

/// Equal cells: cell (x, y) spans [from_ns + x * cell_ns, + cell_ns) and [first_block + y * cell_blocks, +
/// cell_blocks). Only accesses within [from_ns, to_ns) and [first_block, end_block) are counted; the last column and
/// row of cells may reach beyond them.
struct GridShape {
    std::int64_t from_ns{};
    std::int64_t to_ns{};
    std::int64_t cell_ns{};
    std::uint64_t first_block{};
    std::uint64_t end_block{};
    std::uint64_t cell_blocks{};
    std::uint32_t columns{};
    std::uint32_t rows{};

    /// At most max_columns x max_rows cells. Ranges must not be empty.
    static GridShape make(std::int64_t from_ns, std::int64_t to_ns, std::uint64_t first_block, std::uint64_t end_block,
                          std::uint32_t max_columns, std::uint32_t max_rows);

    /// `time_ns` must be in [from_ns, to_ns).
    [[nodiscard]] std::uint32_t column(std::int64_t time_ns) const
    {
        return static_cast<std::uint32_t>((time_ns - from_ns) / cell_ns);
    }
    [[nodiscard]] std::size_t cells() const { return std::size_t{columns} * rows; }
};

/// One count per cell, row by row from the lowest LBA.
class Grid {
public:
    explicit Grid(GridShape const& shape) : shape_{shape}, cells_(shape.cells()) {}

    /// Adds `weight` for each counted block inside the LBA range; returns how many blocks were inside.
    std::uint64_t add(std::int64_t time_ns, BlockRun run, double weight = 1);

    [[nodiscard]] double at(std::uint32_t column, std::uint32_t row) const
    {
        return cells_[std::size_t{row} * shape_.columns + column];
    }
    [[nodiscard]] double sum() const;
    [[nodiscard]] double max() const;
    [[nodiscard]] GridShape const& shape() const { return shape_; }

private:
    GridShape shape_;
    std::vector<double> cells_; ///< counts stay exact below 2^53
};

} // namespace undercroft::analysis
