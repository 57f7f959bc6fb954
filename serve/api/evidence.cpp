// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What was written to a place, before and after a moment, and the bytes of it.
#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "analysis/read/content.hpp"
#include "serve/api/api.hpp"
#include "serve/api/columns.hpp"
#include "serve/api/content_search.hpp"
#include "wire/record.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

constexpr std::size_t most_groups = 48; ///< row groups read to find a block's history
constexpr std::size_t most_writes = 64;
constexpr std::size_t most_scores = 4096;

struct Place {
    analysis::StreamName stream{};
    std::optional<std::uint16_t> source;
    std::uint64_t block{}; ///< of 4 KiB: a disk's, or a page's number
    std::int64_t time_ns{};
};

/// Times, in base columns, at which the file has writes in the base cell of the block.
std::vector<std::int64_t> written_columns(FileIndex const& file, Place const& place)
{
    std::vector<std::int64_t> columns;
    std::uint64_t const cell = place.block >> base_block_shift;
    for (PlaneEntry const& plane : file.planes) {
        bool const writes = plane.key.layer == Layer::write_known || plane.key.layer == Layer::write_unknown;
        if (!writes || plane.key.time_shift != base_time_shift || plane.key.block_shift != base_block_shift ||
            (place.source && plane.key.source != *place.source))
            continue;
        auto const entries = file.entries(plane);
        auto at = std::ranges::lower_bound(entries, cell << column_bits, {}, &CellEntry::place);
        for (; at != entries.end() && at->place >> column_bits == cell; ++at)
            columns.push_back((plane.key.window << column_bits) +
                              static_cast<std::int64_t>(at->place & ((std::uint64_t{1} << column_bits) - 1)));
    }
    return columns;
}

struct Candidate {
    FileIndex const* file{};
    int group{};
    std::int64_t distance_ns{}; ///< from the moment
};

/// Times of snapshots: their pages are states, not accesses, and in no plane.
std::vector<analysis::TimeRange> sweeps(StreamView const& view)
{
    std::vector<analysis::TimeRange> found;
    for (auto const& file : view.files)
        for (Note const& note : file->notes) {
            if (note.kind == analysis::RecordKind::memory_sweep_begin)
                found.push_back({.from_ns = note.time_ns, .to_ns = std::numeric_limits<std::int64_t>::max()});
            else if (note.kind == analysis::RecordKind::memory_sweep_end && !found.empty())
                found.back().to_ns = note.time_ns;
        }
    return found;
}

/// Row groups that may hold writes to the block, those nearest to the moment first.
std::vector<Candidate> candidates(StreamView const& view, Place const& place)
{
    std::vector<Candidate> found;
    auto const swept = place.stream == analysis::StreamName::memory ? sweeps(view) : std::vector<analysis::TimeRange>{};
    for (auto const& file : view.files) {
        auto const columns = written_columns(*file, place);
        for (std::size_t i = 0; i < file->groups.size(); ++i) {
            RowGroup const& group = file->groups[i];
            bool const written = std::ranges::any_of(columns, [&](std::int64_t column) {
                return (column + 1) << base_time_shift > group.first_ns && column << base_time_shift <= group.last_ns;
            });
            bool const snapshot = std::ranges::any_of(swept, [&](analysis::TimeRange const& time) {
                return time.to_ns >= group.first_ns && time.from_ns <= group.last_ns;
            });
            if (written || snapshot)
                found.push_back({.file = file.get(),
                                 .group = static_cast<int>(i),
                                 .distance_ns = std::max<std::int64_t>(
                                     {0, group.first_ns - place.time_ns, place.time_ns - group.last_ns})});
        }
    }
    std::ranges::sort(found, {}, &Candidate::distance_ns);
    return found;
}

bool is_write_to(analysis::RecordRow const& row, Place const& place)
{
    if (place.stream == analysis::StreamName::storage)
        return row.kind == analysis::RecordKind::write && (!place.source || row.source == *place.source) &&
               row.address < (place.block + 1) * 8 && row.end_lba() > place.block * 8;
    bool const write = row.kind == analysis::RecordKind::memory_write ||
                       row.kind == analysis::RecordKind::memory_read_write ||
                       row.kind == analysis::RecordKind::memory_page;
    return write && row.address / 4096 == place.block;
}

json describe(analysis::RecordRow const& row)
{
    json entry{{"time_ns", row.time_ns},
               {"seq", row.sequence},
               {"address", row.address},
               {"length", row.length},
               {"kind", analysis::to_string(row.kind)},
               {"entropy", std::isfinite(row.entropy) ? json(row.entropy) : json(nullptr)},
               {"captured", (row.flags & (wire::record_flag::has_content | wire::record_flag::zero_content)) != 0},
               {"zero", (row.flags & wire::record_flag::zero_content) != 0},
               {"hash", nullptr}};
    if (row.content != nullptr)
        entry["hash"] = analysis::to_hex(*row.content);
    return entry;
}

} // namespace

Reply Api::block(Target const& target) const
{
    auto const boot = boot_of(index_, target);
    Place const place{.stream = stream_of(target),
                      .source = source_of(target),
                      .block = static_cast<std::uint64_t>(need(target, "block", 0, std::int64_t{1} << 44)),
                      .time_ns = need(target, "time_ns", 0, std::int64_t{1} << 62)};
    StreamView const view = boot->stream(place.stream).view();
    std::vector<json> writes;
    analysis::Columns columns = index_columns;
    columns.content = true;
    auto const groups = candidates(view, place);
    for (std::size_t i = 0; i < std::min(groups.size(), most_groups); ++i)
        analysis::scan_row_groups(groups[i].file->file, {groups[i].group}, columns,
                                  [&](analysis::RecordRow const& row) {
                                      if (is_write_to(row, place))
                                          writes.push_back(describe(row));
                                      return analysis::Visit::next;
                                  });
    view.for_each_in_tail([&](PlainRow const& row) {
        if (is_write_to(row.row(), place))
            writes.push_back(describe(row.row()));
    });
    bool const cut = writes.size() > most_writes || groups.size() > most_groups;
    std::ranges::sort(
        writes, {}, [&](json const& write) { return std::abs(write["time_ns"].get<std::int64_t>() - place.time_ns); });
    writes.resize(std::min(writes.size(), most_writes));
    std::ranges::sort(writes, {}, [](json const& write) { return write["seq"].get<std::uint64_t>(); });
    return json_reply({{"writes", writes}, {"cut", cut}});
}

Reply Api::alerts(Target const& target)
{
    return json_reply({{"alerts", alerts_.latest(target.text("machine"), target.text("boot"))}});
}

Reply Api::scores(Target const& target) const
{
    auto const boot = boot_of(index_, target);
    auto const source = source_of(target);
    if (!source)
        throw BadRequest{"source: a disk is wanted"};
    std::int64_t const from = need(target, "from_ns", 0, std::int64_t{1} << 62);
    std::int64_t const to = need(target, "to_ns", from, std::int64_t{1} << 62);
    Scores const scores =
        read_scores(index_.store(), boot->boot.machine, boot->boot.id, *source, from, to, most_scores);
    ColumnReply reply{{{"columns", json::array()}, {"made_by", scores.made_by}}};
    reply.add("end", scores.end_ns);
    reply.add("p", scores.probability);
    reply.add("alarm", scores.alarm);
    return reply.finish();
}

Reply Api::content(Target const& target) const
{
    auto const hash = analysis_hash(target.text("hash"));
    if (!hash)
        throw BadRequest{"hash: 64 hexadecimal digits are wanted"};
    auto const data = find_content(index_.store(), *hash, need(target, "time_ns", 0, std::int64_t{1} << 62));
    if (!data)
        throw NotFound{"the store does not have this block: it was not captured, or retention has deleted it"};
    return {.content_type = "application/octet-stream", .body = *data};
}

} // namespace undercroft::serve
