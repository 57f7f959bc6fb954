// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/api/stream_facts.hpp"

#include <algorithm>
#include <bit>
#include <map>

#include <nlohmann/json.hpp>

#include "analysis/heatmap/densest.hpp"
#include "analysis/heatmap/heatmap.hpp"
#include "serve/api/layout.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

constexpr std::uint32_t histogram_rows = 4096;
constexpr std::size_t most_listed = 20'000; ///< gaps, switched-off times

/// First and one behind the last block that the finest planes hold, for each disk; of the tail too.
struct Extent {
    std::uint64_t first = ~std::uint64_t{0};
    std::uint64_t end = 0;
    double count = 0;
    void add(std::uint64_t from, std::uint64_t to)
    {
        first = std::min(first, from);
        end = std::max(end, to);
    }
};

std::map<std::uint16_t, Extent> extents(StreamIndex const& stream, StreamView const& view)
{
    std::map<std::uint16_t, Extent> found;
    for (auto const& file : view.files) {
        for (PlaneEntry const& plane : file->planes) {
            auto const entries = file->entries(plane);
            if (entries.empty() || plane.key.block_shift != base_block_shift || plane.key.time_shift != base_time_shift)
                continue;
            Extent& extent = found[plane.key.source];
            extent.add((entries.front().place >> column_bits) << base_block_shift,
                       ((entries.back().place >> column_bits) + 1) << base_block_shift);
            extent.count += static_cast<double>(plane.entries);
        }
    }
    view.for_each_in_tail([&](PlainRow const& row) {
        bool const disk = stream.stream() == analysis::StreamName::storage;
        if (disk ? row.kind > analysis::RecordKind::write : !is_memory_access(row.kind))
            return;
        std::uint64_t const block = disk ? row.address / analysis::sectors_per_block : row.address / 4096;
        Extent& extent = found[disk ? row.source : std::uint16_t{0}];
        extent.add(block, block + row.length / 4096 + 1);
        extent.count += 1;
    });
    return found;
}

/// The shortest span inside of another that has most reads and most writes, as exactly as so many rows tell it.
analysis::Span denser(StreamIndex const& stream, StreamView const& view, StreamNotes const& notes,
                      analysis::Span extent, std::uint16_t source)
{
    TileShape shape{.time_shift = largest_time_shift, .rows = histogram_rows};
    shape.block_shift = base_block_shift;
    while (shape.block_shift < largest_block_shift &&
           (extent.end >> shape.block_shift) - (extent.first >> shape.block_shift) >= histogram_rows)
        ++shape.block_shift;
    shape.first_row = extent.first >> shape.block_shift;
    shape.first_column = notes.time.from_ns >> shape.time_shift;
    shape.columns = static_cast<std::uint32_t>(
        std::min<std::int64_t>((notes.time.to_ns >> shape.time_shift) - shape.first_column + 1, 64));
    TileGrids const grids = stream.tile(view, shape, source);
    std::vector<double> reads(histogram_rows);
    std::vector<double> writes(histogram_rows);
    for (std::size_t row = 0; row < histogram_rows; ++row) {
        for (std::size_t column = 0; column < shape.columns; ++column) {
            std::size_t const cell = row * shape.columns + column;
            reads[row] += grids.reads[cell] + grids.executes[cell];
            writes[row] += grids.writes[cell];
        }
    }
    analysis::Span const bins = analysis::shortest_window(reads, writes, analysis::densest_share);
    return {.first = (shape.first_row + bins.first) << shape.block_shift,
            .end = (shape.first_row + bins.end) << shape.block_shift};
}

/// Finer and finer around what was found: a few blocks that lie far away do not blur it.
analysis::Span densest(StreamIndex const& stream, StreamView const& view, StreamNotes const& notes,
                       Extent const& extent, std::uint16_t source)
{
    analysis::Span found{.first = extent.first, .end = extent.end};
    for (int round = 0; round < 4; ++round) {
        analysis::Span const next = denser(stream, view, notes, found, source);
        if (next.first >= next.end)
            break;
        bool const settled = next.end - next.first > (found.end - found.first) / 2;
        found = next;
        if (settled)
            break;
    }
    return found;
}

json hello_disk(json const& hello, std::uint16_t source)
{
    if (hello.is_object() && hello.contains("disks") && hello["disks"].is_array())
        for (json const& disk : hello["disks"])
            if (disk.is_object() && disk.value("source", -1) == source)
                return disk;
    return {};
}

template <typename Spans, typename Entry>
json listed(Spans const& spans, Entry entry)
{
    json list = json::array();
    for (std::size_t i = 0; i < std::min(spans.size(), most_listed); ++i)
        list.push_back(entry(spans[i]));
    return list;
}

} // namespace

json stream_facts(std::filesystem::path const& store, BootIndex const& boot, analysis::StreamName name,
                  std::filesystem::path const& layouts, FactsCache& cache)
{
    StreamIndex const& stream = boot.stream(name);
    StreamView const view = stream.view();
    auto const notes = stream.notes();
    json const hello = analysis::read_json(boot.boot.folder / "hello.json");
    StreamView files = view;
    files.tail = nullptr;
    std::uint64_t const version = files.version(0, std::numeric_limits<std::int64_t>::max());
    std::string const key = boot.boot.machine + boot.boot.id + (name == analysis::StreamName::memory ? "m" : "s");
    json sources = json::array();
    for (auto const& [source, extent] : extents(stream, view)) {
        auto const find_dense = [&, at = source, reach = extent](StreamView const& where) {
            analysis::Span const span = densest(stream, where, *notes, reach, at);
            return json::array({span.first, span.end});
        };
        json const dense = files.files.empty()
                               ? find_dense(view)
                               : cache.get(key + std::to_string(source), version, [&] { return find_dense(files); });
        json entry{{"source", source},
                   {"first_block", extent.first},
                   {"end_block", extent.end},
                   {"dense_first_block", dense[0]},
                   {"dense_end_block", dense[1]},
                   {"weight", extent.count}};
        if (name == analysis::StreamName::storage) {
            json const disk = hello_disk(hello, source);
            entry["disk"] = disk;
            entry["marks"] = cache.get("marks" + key + std::to_string(source), version,
                                       [&, at = source] { return disk_marks(store, boot, at, layouts); });
        }
        sources.push_back(std::move(entry));
    }
    json facts{
        {"revision", view.revision},
        {"rows", notes->rows},
        {"sources", std::move(sources)},
        {"waiting_files", view.waiting_files},
        {"gaps", listed(notes->gaps, [](auto const& gap) { return json::array({gap.from_ns, gap.to_ns, gap.lost}); })},
        {"gaps_in_all", notes->gaps.size()},
        {"off", listed(notes->off, [](auto const& off) { return json::array({off.from_ns, off.to_ns}); })},
        {"looked_cut", notes->looked_cut},
        {"ram",
         listed(notes->ram.regions(), [](auto const& region) { return json::array({region.first, region.end}); })}};
    if (notes->rows != 0) {
        facts["from_ns"] = notes->time.from_ns;
        facts["to_ns"] = notes->time.to_ns;
    }
    return facts;
}

} // namespace undercroft::serve
