// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/feature_sums.hpp"

#include <cmath>

namespace undercroft::serve {
namespace {

constexpr std::uint64_t piece_bytes = 4096;
constexpr std::uint64_t piece_sectors = piece_bytes / 512;

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

void FeatureSums::add(analysis::RecordRow const& row)
{
    std::uint64_t const pieces = (row.length + piece_bytes - 1) / piece_bytes;
    if (row.kind == analysis::RecordKind::gap)
        lost += row.length;
    if (row.kind == analysis::RecordKind::read) {
        read_bytes += row.length;
        reads.merge(Moments::of_series(row.address, pieces));
    }
    if (row.kind != analysis::RecordKind::write)
        return;
    write_bytes += row.length;
    writes.merge(Moments::of_series(row.address, pieces));
    if (std::isfinite(row.entropy)) {
        entropy += static_cast<double>(row.entropy) * static_cast<double>(pieces);
        entropy_pieces += pieces;
    }
}

void FeatureSums::merge(FeatureSums const& other)
{
    read_bytes += other.read_bytes;
    write_bytes += other.write_bytes;
    reads.merge(other.reads);
    writes.merge(other.writes);
    entropy += other.entropy;
    entropy_pieces += other.entropy_pieces;
    lost += other.lost;
}

} // namespace undercroft::serve
