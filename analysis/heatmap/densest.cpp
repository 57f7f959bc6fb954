// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/densest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace undercroft::analysis {
namespace {

constexpr std::uint64_t bins = 65536;
constexpr std::uint64_t bins_per_window = 1024;

struct Histogram {
    Span range;
    std::uint64_t bin_blocks{};
    std::vector<double> reads;
    std::vector<double> writes;

    explicit Histogram(Span over) : range{over}
    {
        bin_blocks = (over.end - over.first - 1) / bins + 1;
        std::size_t const count = (over.end - over.first - 1) / bin_blocks + 1;
        reads.resize(count);
        writes.resize(count);
    }

    void add(BlockRun run, bool write)
    {
        std::uint64_t block = std::max(run.first, range.first);
        std::uint64_t const end = std::min(run.first + run.count, range.end);
        std::vector<double>& counts = write ? writes : reads;
        while (block < end) {
            std::uint64_t const offset = block - range.first;
            std::uint64_t const taken = std::min(bin_blocks - offset % bin_blocks, end - block);
            counts[offset / bin_blocks] += static_cast<double>(taken);
            block += taken;
        }
    }
};

struct Totals {
    Span range{.first = ~std::uint64_t{0}, .end = 0};
    double reads{};
    double writes{};
};

Totals total(ForEachRun const& for_each)
{
    Totals totals;
    for_each([&](BlockRun run, bool write) {
        totals.range.first = std::min(totals.range.first, run.first);
        totals.range.end = std::max(totals.range.end, run.first + run.count);
        (write ? totals.writes : totals.reads) += static_cast<double>(run.count);
    });
    return totals;
}

/// Shortest window with at least these sums.
Span shortest_with(std::span<double const> reads, std::span<double const> writes, double need_reads, double need_writes)
{
    Span best{.first = 0, .end = reads.size()};
    double have_reads = 0;
    double have_writes = 0;
    std::size_t first = 0;
    for (std::size_t end = 0; end < reads.size(); ++end) {
        have_reads += reads[end];
        have_writes += writes[end];
        while (first <= end && have_reads - reads[first] >= need_reads && have_writes - writes[first] >= need_writes) {
            have_reads -= reads[first];
            have_writes -= writes[first];
            ++first;
        }
        bool const enough = have_reads >= need_reads && have_writes >= need_writes && first <= end;
        if (enough && end + 1 - first < best.end - best.first)
            best = {.first = first, .end = end + 1};
    }
    return best;
}

} // namespace

Span shortest_window(std::span<double const> reads, std::span<double const> writes, double share)
{
    return shortest_with(reads, writes, share * std::accumulate(reads.begin(), reads.end(), 0.0),
                         share * std::accumulate(writes.begin(), writes.end(), 0.0));
}

Span densest_blocks(ForEachRun const& for_each, double share)
{
    Totals const totals = total(for_each);
    if (totals.range.first >= totals.range.end)
        return {};
    Span range = totals.range;
    for (;;) {
        Histogram histogram{range};
        for_each([&](BlockRun run, bool write) { histogram.add(run, write); });
        Span const window =
            shortest_with(histogram.reads, histogram.writes, share * totals.reads, share * totals.writes);
        Span const found{.first = range.first + window.first * histogram.bin_blocks,
                         .end = std::min(range.first + window.end * histogram.bin_blocks, range.end)};
        if (histogram.bin_blocks == 1 || window.end - window.first >= bins_per_window)
            return found;
        // Two windows that each hold more than half of the accesses overlap, so the shortest one of all, no longer
        // than the one found, lies within one length of it.
        std::uint64_t const length = found.end - found.first;
        std::uint64_t const before = std::min(found.first - range.first, length);
        std::uint64_t const after = std::min(range.end - found.end, length);
        range = {.first = found.first - before, .end = found.end + after};
    }
}

Span fullest_window(std::span<double const> counts, std::uint64_t length)
{
    length = std::min<std::uint64_t>(length, counts.size());
    double sum = std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(length), 0.0);
    double best = sum;
    std::uint64_t first = 0;
    for (std::uint64_t end = length; end < counts.size(); ++end) {
        sum += counts[end] - counts[end - length];
        if (sum > best) {
            best = sum;
            first = end + 1 - length;
        }
    }
    return {.first = first, .end = first + length};
}

} // namespace undercroft::analysis
