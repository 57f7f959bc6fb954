// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/grid.hpp"

#include <algorithm>
#include <numeric>

#include "wire/record.hpp"

namespace undercroft::analysis {

BlockRun BlockCounter::count(RecordRow const& row)
{
    bool const first = (row.flags & wire::record_flag::first_of_request) != 0;
    bool const same_request =
        !first && row.kind == previous_.kind && row.source == previous_.source && row.address == previous_.end_lba();
    std::uint64_t const shared_end = previous_.end_lba();
    previous_ = row;
    previous_.content = nullptr;
    if ((row.kind != RecordKind::read && row.kind != RecordKind::write) || row.length == 0)
        return {};
    BlockRun run{.first = row.address / sectors_per_block};
    if (mode_ == CountMode::requests) {
        run.count = first ? 1 : 0;
        return run;
    }
    std::uint64_t const end = (row.end_lba() - 1) / sectors_per_block + 1;
    if (same_request && shared_end % sectors_per_block != 0)
        ++run.first;
    run.count = end > run.first ? end - run.first : 0;
    return run;
}

GridShape GridShape::make(std::int64_t from_ns, std::int64_t to_ns, std::uint64_t first_block, std::uint64_t end_block,
                          std::uint32_t max_columns, std::uint32_t max_rows)
{
    auto const divide_up = [](auto value, auto by) { return value / by + (value % by != 0 ? 1 : 0); };
    GridShape shape{.from_ns = from_ns, .to_ns = to_ns, .first_block = first_block, .end_block = end_block};
    shape.cell_ns = divide_up(to_ns - from_ns, std::int64_t{max_columns});
    shape.columns = static_cast<std::uint32_t>(divide_up(to_ns - from_ns, shape.cell_ns));
    shape.cell_blocks = divide_up(end_block - first_block, std::uint64_t{max_rows});
    shape.rows = static_cast<std::uint32_t>(divide_up(end_block - first_block, shape.cell_blocks));
    return shape;
}

std::uint64_t Grid::add(std::int64_t time_ns, BlockRun run, double weight)
{
    std::uint64_t const first = std::max(run.first, shape_.first_block);
    std::uint64_t const end = std::min(run.first + run.count, shape_.end_block);
    if (time_ns < shape_.from_ns || time_ns >= shape_.to_ns || first >= end)
        return 0;
    std::uint64_t row = (first - shape_.first_block) / shape_.cell_blocks;
    std::size_t cell = row * shape_.columns + shape_.column(time_ns);
    for (std::uint64_t block = first; block < end; ++row, cell += shape_.columns) {
        std::uint64_t const left = shape_.cell_blocks - (block - shape_.first_block) % shape_.cell_blocks;
        std::uint64_t const taken = std::min(left, end - block);
        cells_[cell] += weight * static_cast<double>(taken);
        block += taken;
    }
    return end - first;
}

double Grid::sum() const
{
    return std::accumulate(cells_.begin(), cells_.end(), 0.0);
}

double Grid::max() const
{
    return cells_.empty() ? 0 : *std::ranges::max_element(cells_);
}

} // namespace undercroft::analysis
