// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/memory/coverage.hpp"

#include <algorithm>
#include <vector>

#include "analysis/memory/request.hpp"
#include "wire/memory.hpp"

namespace undercroft::analysis {
namespace {

constexpr auto written_mode = static_cast<std::uint16_t>(wire::MemoryMode::written);
constexpr auto watch_mode = static_cast<std::uint16_t>(wire::MemoryMode::watch);

/// What an armed range is looked at for: `written` takes the right to write only, `watch` surely that to execute.
std::vector<AccessKind> armed_kinds(std::uint16_t mode)
{
    if (mode == written_mode)
        return {AccessKind::write};
    if (mode == watch_mode)
        return {AccessKind::execute};
    return {AccessKind::read, AccessKind::write, AccessKind::execute};
}

} // namespace

void RangeTimes::cut(std::uint64_t page)
{
    auto const behind = parts_.upper_bound(page);
    if (behind == parts_.begin())
        return;
    auto const part = std::prev(behind);
    if (part->first == page || part->second.end <= page)
        return;
    parts_.emplace(page, part->second);
    part->second.end = page;
}

void RangeTimes::erase(std::uint64_t first, std::uint64_t end)
{
    cut(first);
    cut(end);
    parts_.erase(parts_.lower_bound(first), parts_.lower_bound(end));
}

void RangeTimes::set(std::uint64_t first, std::uint64_t end, std::int64_t time_ns, bool replace)
{
    if (first >= end)
        return;
    if (replace) {
        erase(first, end);
        parts_.emplace(first, Part{.end = end, .since_ns = time_ns});
        return;
    }
    cut(first);
    cut(end);
    std::uint64_t at = first;
    for (auto part = parts_.lower_bound(first); at < end; at = part->second.end, ++part) {
        std::uint64_t const next = part == parts_.end() ? end : std::min(part->first, end);
        if (at < next)
            part = parts_.emplace(at, Part{.end = next, .since_ns = time_ns}).first;
    }
}

void RangeTimes::visit(std::uint64_t first, std::uint64_t end, Visit const& visit) const
{
    auto part = parts_.upper_bound(first);
    if (part != parts_.begin() && std::prev(part)->second.end > first)
        --part;
    for (; part != parts_.end() && part->first < end; ++part)
        visit(std::max(part->first, first), std::min(part->second.end, end), part->second.since_ns);
}

void Coverage::take(RecordRow const& row)
{
    if (row.kind == RecordKind::memory_mode) {
        std::optional<ModeRequest> const request = parse_request(row.request);
        if (!request || !request->starts) {
            disarm(row.source, 0, ram_.pages(), row.time_ns);
            modes_.erase(row.source);
        }
        return;
    }
    bool const armed = row.kind == RecordKind::memory_armed;
    bool const scanned = row.kind == RecordKind::memory_scanned;
    if (!armed && !scanned && row.kind != RecordKind::memory_disarmed)
        return;
    AddressRange const range = range_of(row);
    std::uint64_t const first = ram_.page_from(range.first);
    std::uint64_t const end = ram_.page_from(range.end);
    if (first >= end)
        return;
    if (armed)
        arm(row, first, end);
    else if (scanned)
        scan(row, first, end);
    else
        disarm(row.source, first, end, row.time_ns);
}

void Coverage::arm(RecordRow const& row, std::uint64_t first, std::uint64_t end)
{
    modes_[row.source].armed.set(first, end, row.time_ns, false);
}

void Coverage::disarm(std::uint16_t mode, std::uint64_t first, std::uint64_t end, std::int64_t time_ns)
{
    auto const found = modes_.find(mode);
    if (found == modes_.end())
        return;
    found->second.armed.visit(first, end, [&](std::uint64_t from, std::uint64_t to, std::int64_t since_ns) {
        for (AccessKind const kind : armed_kinds(mode))
            looked_(kind, from, to, since_ns, time_ns);
    });
    found->second.armed.erase(first, end);
}

/// Accessed bits do not tell a read from an execution.
void Coverage::scan(RecordRow const& row, std::uint64_t first, std::uint64_t end)
{
    RangeTimes& scanned = modes_[row.source].scanned;
    scanned.visit(first, end, [&](std::uint64_t from, std::uint64_t to, std::int64_t since_ns) {
        looked_(AccessKind::read, from, to, since_ns, row.time_ns);
        looked_(AccessKind::write, from, to, since_ns, row.time_ns);
    });
    scanned.set(first, end, row.time_ns, true);
}

void Coverage::finish(std::int64_t time_ns)
{
    for (auto const& [mode, state] : modes_)
        state.armed.visit(0, ram_.pages(), [&](std::uint64_t from, std::uint64_t to, std::int64_t since_ns) {
            for (AccessKind const kind : armed_kinds(mode))
                looked_(kind, from, to, since_ns, time_ns);
        });
    modes_.clear();
}

} // namespace undercroft::analysis
