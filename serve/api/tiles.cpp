// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Tiles, features and single records.
#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "serve/api/api.hpp"
#include "serve/api/columns.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

constexpr std::uint32_t most_side = 512; ///< cells of a tile
constexpr std::uint32_t most_feature_columns = 4096;
constexpr std::size_t most_records = 20'000;
constexpr std::size_t most_record_groups = 64; ///< row groups read for one list of records
constexpr std::int64_t time_limit_ns = std::int64_t{1} << 62;
constexpr std::int64_t block_limit = std::int64_t{1} << 44;

unsigned time_shift_of(Target const& target)
{
    return static_cast<unsigned>(need(target, "time_shift", 10, largest_time_shift));
}

TileShape shape_of(Target const& target)
{
    TileShape shape;
    shape.time_shift = time_shift_of(target);
    unsigned const least = shape.time_shift < base_time_shift ? 0 : base_block_shift;
    shape.block_shift = static_cast<unsigned>(need(target, "block_shift", least, largest_block_shift));
    shape.first_column = need(target, "column", 0, time_limit_ns >> shape.time_shift);
    shape.first_row = static_cast<std::uint64_t>(need(target, "row", 0, block_limit >> shape.block_shift));
    shape.columns = static_cast<std::uint32_t>(need(target, "columns", 1, most_side));
    shape.rows = static_cast<std::uint32_t>(need(target, "rows", 1, most_side));
    return shape;
}

/// Share of each cell that the memory monitor looked at.
std::vector<double> looked_grid(StreamNotes const& notes, TileShape const& shape, analysis::AccessKind kind)
{
    std::vector<double> grid(shape.cells());
    auto const cell_ns = static_cast<double>(std::int64_t{1} << shape.time_shift);
    auto const cell_pages = static_cast<double>(std::uint64_t{1} << shape.block_shift);
    for (LookedSpan const& span : notes.looked) {
        if (span.kind != kind || span.to_ns <= shape.from_ns() || span.from_ns >= shape.to_ns() ||
            span.end_page <= shape.first_block() || span.first_page >= shape.end_block())
            continue;
        std::int64_t const from = std::max(span.from_ns, shape.from_ns());
        std::int64_t const to = std::min(span.to_ns, shape.to_ns());
        std::uint64_t const first = std::max(span.first_page, shape.first_block());
        std::uint64_t const end = std::min(span.end_page, shape.end_block());
        for (std::int64_t column = from >> shape.time_shift; column << shape.time_shift < to; ++column) {
            double const time = static_cast<double>(std::min(to, (column + 1) << shape.time_shift) -
                                                    std::max(from, column << shape.time_shift)) /
                                cell_ns;
            for (std::uint64_t row = first >> shape.block_shift; row << shape.block_shift < end; ++row) {
                double const pages = static_cast<double>(std::min(end, (row + 1) << shape.block_shift) -
                                                         std::max(first, row << shape.block_shift)) /
                                     cell_pages;
                double& cell = grid[static_cast<std::size_t>(row - shape.first_row) * shape.columns +
                                    static_cast<std::size_t>(column - shape.first_column)];
                cell = std::min(1.0, cell + time * pages);
            }
        }
    }
    return grid;
}

std::string tile_key(Target const& target, std::uint64_t version)
{
    std::string key = std::to_string(version);
    for (auto const& [name, value] : target.parameters)
        key += "&" + name + "=" + value;
    return key;
}

struct RecordColumns {
    std::vector<std::uint64_t> sequence, address;
    std::vector<std::int64_t> time;
    std::vector<std::uint32_t> length;
    std::vector<std::uint16_t> source, flags;
    std::vector<std::uint8_t> kind;
    std::vector<float> entropy;

    void add(PlainRow const& row)
    {
        sequence.push_back(row.sequence);
        address.push_back(row.address);
        time.push_back(row.time_ns);
        length.push_back(row.length);
        source.push_back(row.source);
        flags.push_back(row.flags);
        kind.push_back(static_cast<std::uint8_t>(row.kind));
        entropy.push_back(row.entropy);
    }
};

} // namespace

Reply Api::tile(Target const& target)
{
    auto const begun = std::chrono::steady_clock::now();
    auto const boot = boot_of(index_, target);
    analysis::StreamName const name = stream_of(target);
    StreamIndex const& stream = boot->stream(name);
    TileShape const shape = shape_of(target);
    auto const source = source_of(target);
    StreamView const view = stream.view();
    bool const memory = name == analysis::StreamName::memory;
    std::uint64_t const version = memory ? view.revision : view.version(shape.from_ns(), shape.to_ns());
    std::string const key = tile_key(target, version);
    Reply reply{.content_type = "application/octet-stream"};
    bool const known = [&] {
        auto found = tiles_.find(key);
        if (found)
            reply.body = std::move(*found);
        return found.has_value();
    }();
    if (!known) {
        TileGrids const grids = stream.tile(view, shape, source);
        ColumnReply columns{{{"columns", json::array()}, {"revision", view.revision}}};
        columns.add_grid("reads", grids.reads);
        columns.add_grid("writes", grids.writes);
        columns.add_grid("executes", grids.executes);
        columns.add_grid("entropy_sum", grids.entropy_sum);
        columns.add_grid("entropy_count", grids.entropy_count);
        if (memory) {
            auto const notes = stream.notes();
            columns.add_grid("looked_read", looked_grid(*notes, shape, analysis::AccessKind::read));
            columns.add_grid("looked_write", looked_grid(*notes, shape, analysis::AccessKind::write));
            columns.add_grid("looked_execute", looked_grid(*notes, shape, analysis::AccessKind::execute));
        }
        reply = columns.finish();
        tiles_.put(key, reply.body);
    }
    double const ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
    reply.headers.emplace_back("Server-Timing", fmt::format("{};dur={:.2f}", known ? "cached" : "made", ms));
    return reply;
}

Reply Api::features(Target const& target) const
{
    auto const boot = boot_of(index_, target);
    unsigned const shift = time_shift_of(target);
    std::int64_t const first = need(target, "column", 0, time_limit_ns >> shift);
    auto const columns = static_cast<std::uint32_t>(need(target, "columns", 1, most_feature_columns));
    double const seconds = std::ldexp(1.0, static_cast<int>(shift)) / 1e9;
    StreamView const view = boot->storage.view();
    auto const sums = boot->storage.features(view, shift, first, columns);
    std::array<std::vector<float>, 6> values;
    for (FeatureSums const& sum : sums) {
        values[0].push_back(static_cast<float>(static_cast<double>(sum.read_bytes) / seconds));
        values[1].push_back(static_cast<float>(static_cast<double>(sum.write_bytes) / seconds));
        values[2].push_back(static_cast<float>(sum.reads.variance()));
        values[3].push_back(static_cast<float>(sum.writes.variance()));
        values[4].push_back(sum.entropy_pieces == 0
                                ? std::numeric_limits<float>::quiet_NaN()
                                : static_cast<float>(sum.entropy / static_cast<double>(sum.entropy_pieces)));
        values[5].push_back(static_cast<float>(sum.lost));
    }
    ColumnReply reply{{{"columns", json::array()}, {"revision", view.revision}, {"step_s", seconds}}};
    constexpr std::array<char const*, 6> names{"read_bytes_per_s",   "write_bytes_per_s", "read_lba_variance",
                                               "write_lba_variance", "write_entropy",     "lost_records"};
    for (std::size_t i = 0; i < names.size(); ++i)
        reply.add(names.at(i), values.at(i));
    return reply.finish();
}

Reply Api::records(Target const& target) const
{
    auto const boot = boot_of(index_, target);
    StreamIndex const& stream = boot->stream(stream_of(target));
    std::int64_t const from = need(target, "from_ns", 0, time_limit_ns);
    std::int64_t const to = need(target, "to_ns", 0, time_limit_ns);
    auto const first = static_cast<std::uint64_t>(need(target, "first_block", 0, block_limit));
    auto const end = static_cast<std::uint64_t>(need(target, "end_block", 0, block_limit));
    auto const limit = static_cast<std::size_t>(need(target, "limit", 1, most_records));
    auto const source = source_of(target);
    RecordColumns columns;
    bool more = false;
    bool const complete = stream.rows(
        stream.view(), from, to, most_record_groups, [&](PlainRow const& row, analysis::BlockRun run, Layer) {
            bool const access = run.count != 0;
            if (access && (run.first >= end || run.first + run.count <= first || (source && row.source != *source)))
                return analysis::Visit::next;
            if (columns.time.size() == limit) {
                more = true;
                return analysis::Visit::stop;
            }
            columns.add(row);
            return analysis::Visit::next;
        });
    json kinds = json::array();
    for (std::size_t kind = 0; kind < analysis::record_kinds; ++kind)
        kinds.push_back(analysis::to_string(static_cast<analysis::RecordKind>(kind)));
    ColumnReply reply{{{"columns", json::array()}, {"more", more || !complete}, {"kinds", std::move(kinds)}}};
    reply.add("seq", columns.sequence);
    reply.add("time", columns.time);
    reply.add("address", columns.address);
    reply.add("length", columns.length);
    reply.add("source", columns.source);
    reply.add("flags", columns.flags);
    reply.add("kind", columns.kind);
    reply.add("entropy", columns.entropy);
    return reply.finish();
}

} // namespace undercroft::serve
