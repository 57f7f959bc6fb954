// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/features/windows.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint64_t piece_bytes = 4096;
constexpr std::uint64_t piece_sectors = piece_bytes / 512;
constexpr std::size_t max_open_steps = std::size_t{4} << 20;

} // namespace

void Moments::merge(Moments const& other)
{
    if (other.count == 0)
        return;
    if (count == 0) {
        *this = other;
        return;
    }
    auto const own = static_cast<double>(count);
    auto const others = static_cast<double>(other.count);
    double const apart = other.origin >= origin ? static_cast<double>(other.origin - origin)
                                                : -static_cast<double>(origin - other.origin);
    double const distance = apart + other.mean - mean;
    double const all = own + others;
    mean += distance * others / all;
    squares += other.squares + distance * distance * own * others / all;
    count += other.count;
}

Moments Moments::of_series(std::uint64_t first, std::uint64_t count)
{
    auto const n = static_cast<double>(count);
    constexpr auto step = static_cast<double>(piece_sectors);
    if (count == 0)
        return {};
    return {.count = count, .origin = first, .mean = step * (n - 1) / 2, .squares = step * step * n * (n * n - 1) / 12};
}

void WindowSums::add(RecordRow const& row)
{
    std::uint64_t const pieces = (row.length + piece_bytes - 1) / piece_bytes;
    if (row.kind == RecordKind::gap)
        lost += row.length;
    if (row.kind == RecordKind::read) {
        read_bytes += row.length;
        reads.merge(Moments::of_series(row.address, pieces));
    }
    if (row.kind != RecordKind::write)
        return;
    write_bytes += row.length;
    writes.merge(Moments::of_series(row.address, pieces));
    if (std::isfinite(row.entropy)) {
        entropy += static_cast<double>(row.entropy) * static_cast<double>(pieces);
        entropy_pieces += pieces;
    }
}

void WindowSums::merge(WindowSums const& other)
{
    read_bytes += other.read_bytes;
    write_bytes += other.write_bytes;
    reads.merge(other.reads);
    writes.merge(other.writes);
    entropy += other.entropy;
    entropy_pieces += other.entropy_pieces;
    lost += other.lost;
}

void TimeSurvey::add(std::int64_t time_ns)
{
    first_ns = std::min(first_ns, time_ns);
    disorder_ns = std::max(disorder_ns, last_ns - time_ns);
    last_ns = std::max(last_ns, time_ns);
}

std::int64_t SlidingWindows::step_of(std::int64_t time_ns) const
{
    return (time_ns - survey_.first_ns) / shape_.step_ns;
}

void SlidingWindows::add(RecordRow const& row)
{
    latest_ns_ = std::max(latest_ns_, row.time_ns);
    if (row.kind == RecordKind::read || row.kind == RecordKind::write || row.kind == RecordKind::gap)
        steps_[step_of(row.time_ns)].add(row);
    // No row to come is older than this.
    std::int64_t const settled = latest_ns_ - survey_.disorder_ns;
    if (settled >= survey_.first_ns)
        close_before(step_of(settled));
    if (steps_.size() > max_open_steps)
        throw Error{
            fmt::format("the times go back by {:.0f} s somewhere: too many steps would have to be kept at once; "
                        "choose a longer --step",
                        static_cast<double>(survey_.disorder_ns) / second_ns)};
}

/// Hands out the windows that lie wholly before `step`.
void SlidingWindows::close_before(std::int64_t step)
{
    std::int64_t const width = shape_.window_ns / shape_.step_ns;
    while (!steps_.empty()) {
        std::int64_t const first = std::max(next_, steps_.begin()->first - width + 1);
        if (first + width > step)
            return;
        Window window{.start_ns = survey_.first_ns + first * shape_.step_ns};
        for (auto at = steps_.lower_bound(first); at != steps_.end() && at->first < first + width; ++at)
            window.sums.merge(at->second);
        visit_(window);
        next_ = first + 1;
        steps_.erase(steps_.begin(), steps_.lower_bound(next_));
    }
}

void SlidingWindows::finish()
{
    close_before(step_of(survey_.last_ns) + 1);
    steps_.clear();
}

} // namespace undercroft::analysis
