// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/features/catalogue.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using W = WindowTotals;
constexpr double none = std::numeric_limits<double>::quiet_NaN();

double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : none;
}

double ratio(std::uint64_t part, std::uint64_t whole)
{
    return ratio(static_cast<double>(part), static_cast<double>(whole));
}

/// Population variance: exact, around the whole part of the mean, up to the division.
double variance(SquareSums const& sums, std::uint64_t n)
{
    if (n == 0)
        return 0;
    Wide const whole = sums.sum / n;
    Wide const rest = sums.sum % n;
    // The sum of (value - whole)^2, modulo 2^128 on the way.
    Wide const spread = sums.squares - n * whole * whole - 2 * whole * rest;
    auto const count = static_cast<long double>(n);
    auto const part = static_cast<long double>(rest);
    return static_cast<double>((static_cast<long double>(spread) - part * part / count) / count);
}

std::uint64_t rows(W const& w, Direction d, RowCount count = RowCount::rows)
{
    return w.totals.get(d, count);
}

template <Direction d, RowCount count>
double share_of_rows(W const& w)
{
    return ratio(rows(w, d, count), rows(w, d));
}
template <Direction d, RowCount count>
double share_of_run_rows(W const& w)
{
    return ratio(rows(w, d, count), rows(w, d, RowCount::run_rows));
}
template <Direction d, RowCount count>
double share_of_jumps(W const& w)
{
    return ratio(rows(w, d, count), rows(w, d, RowCount::jumps));
}
template <Direction d>
double single_runs(W const& w)
{
    return ratio(rows(w, d, RowCount::runs_of_1), rows(w, d, RowCount::runs));
}
template <Direction d>
double run_length(W const& w)
{
    return ratio(rows(w, d, RowCount::run_rows), rows(w, d, RowCount::runs));
}
template <Direction d>
double throughput(W const& w)
{
    return static_cast<double>(rows(w, d, RowCount::bytes)) / w.seconds;
}
template <Direction d>
double row_rate(W const& w)
{
    return static_cast<double>(rows(w, d)) / w.seconds;
}
template <Direction d>
double lba_variance(W const& w)
{
    return variance(w.totals.lba[static_cast<std::size_t>(d)], rows(w, d));
}
template <Direction d>
double rows_per_zone(W const& w)
{
    return ratio(static_cast<double>(rows(w, d)), w.of(d).zones);
}
template <Direction d>
double distinct_share(W const& w)
{
    return ratio(w.of(d).blocks, static_cast<double>(rows(w, d)));
}
template <Direction d>
double working_set(W const& w)
{
    return w.of(d).zones;
}
template <Direction d>
double active_slots(W const& w)
{
    return static_cast<double>(rows(w, d, RowCount::slots)) / (w.seconds * 10);
}
/// Variance / mean of the rows per slot of 100 ms, over all slots of the window.
template <Direction d>
double dispersion(W const& w)
{
    double const slots = w.seconds * 10;
    double const mean = static_cast<double>(rows(w, d)) / slots;
    return ratio(static_cast<double>(rows(w, d, RowCount::slot_squares)) / slots - mean * mean, mean);
}
template <Direction d>
double effective_slots(W const& w)
{
    double const n = static_cast<double>(rows(w, d));
    return ratio(n * n, static_cast<double>(rows(w, d, RowCount::slot_squares)) * w.seconds * 10);
}

template <PeakCount count>
double peak_rate(W const& w)
{
    return std::log2(1 + static_cast<double>(w.peaks[static_cast<std::size_t>(count)]) /
                             (static_cast<double>(peak_ns) / 1e9));
}

std::uint64_t writes(W const& w)
{
    return rows(w, Direction::write);
}
template <WriteCount count>
double share_of_writes(W const& w)
{
    return ratio(w.totals.get(count), writes(w));
}
template <WriteCount count>
double share_of_entropies(W const& w)
{
    return ratio(w.totals.get(count), w.totals.get(WriteCount::entropy_known));
}
template <WriteCount count>
double share_of_overwrites(W const& w)
{
    return ratio(w.totals.get(count), w.totals.get(WriteCount::overwrites));
}
template <WriteCount count>
double share_of_reads(W const& w)
{
    return ratio(w.totals.get(count), rows(w, Direction::read));
}
double overwrite_latency(W const& w)
{
    return ratio(w.totals.get(WriteCount::overwrite_ms), w.totals.get(WriteCount::first_overwrites)) / 1000;
}
double entropy_mean(W const& w)
{
    return ratio(static_cast<double>(w.totals.entropy.sum) * entropy_unit,
                 static_cast<double>(w.totals.get(WriteCount::entropy_known)));
}
double entropy_deviation(W const& w)
{
    std::uint64_t const known = w.totals.get(WriteCount::entropy_known);
    return known == 0 ? none : __builtin_sqrt(variance(w.totals.entropy, known)) * entropy_unit;
}
double overwrite_entropy(W const& w)
{
    return ratio(static_cast<double>(w.totals.overwrite_entropy) * entropy_unit,
                 static_cast<double>(w.totals.get(WriteCount::overwrites_known)));
}
double entropy_change(W const& w)
{
    return ratio(static_cast<double>(w.totals.entropy_change) * entropy_unit,
                 static_cast<double>(w.totals.get(WriteCount::rises_known)));
}
double entropy_rises(W const& w)
{
    return ratio(w.totals.get(WriteCount::rises), w.totals.get(WriteCount::rises_known));
}
double overwrite_rate(W const& w)
{
    return static_cast<double>(w.totals.get(WriteCount::overwrites)) / w.seconds;
}
double high_overwrite_rate(W const& w)
{
    return static_cast<double>(w.totals.get(WriteCount::high_overwrites)) / w.seconds;
}
double read_bytes_share(W const& w)
{
    std::uint64_t const read = rows(w, Direction::read, RowCount::bytes);
    return ratio(read, read + rows(w, Direction::write, RowCount::bytes));
}
double switches(W const& w)
{
    return ratio(w.totals.get(WriteCount::direction_switches), rows(w, Direction::read) + writes(w));
}
double zones_both(W const& w)
{
    double const either = w.of(Direction::read).zones + w.of(Direction::write).zones;
    return ratio(2 * w.zones_both, either);
}
double trim_share(W const& w)
{
    double const trimmed = static_cast<double>(w.totals.get(WriteCount::trim_bytes));
    return ratio(trimmed, trimmed + static_cast<double>(rows(w, Direction::write, RowCount::bytes)));
}
double flushes_per_write(W const& w)
{
    return ratio(w.totals.get(WriteCount::flushes), writes(w));
}

constexpr auto mr = MemoryKind::read;
constexpr auto mw = MemoryKind::write;
constexpr auto mrw = MemoryKind::read_write;
constexpr auto mx = MemoryKind::execute;

template <MemoryKind kind, std::size_t mapping>
double memory_count(W const& w)
{
    return static_cast<double>(w.totals.memory[static_cast<std::size_t>(kind)][mapping]);
}
template <MemoryKind kind>
double memory_variance(W const& w)
{
    auto const k = static_cast<std::size_t>(kind);
    return variance(w.totals.memory_address[k], w.totals.memory_rows[k]);
}
template <MemoryKind kind>
double memory_entropy(W const& w)
{
    auto const k = static_cast<std::size_t>(kind);
    return ratio(static_cast<double>(w.totals.memory_entropy[k]) * entropy_unit,
                 static_cast<double>(w.totals.memory_entropy_known[k]));
}

constexpr auto R = Direction::read;
constexpr auto Wr = Direction::write;
constexpr std::string_view ransap = "RanSAP (2022)";
constexpr std::string_view ransmap = "RanSMAP (2024)";
constexpr std::string_view deftpunk = "DeftPunk (OSDI'24), changed";
constexpr std::string_view insider = "SSD-Insider (ICDCS'18), changed";
constexpr std::string_view amoeba = "Amoeba (CAL'18), changed";
constexpr std::string_view own = "own";

// clang-format off
constexpr std::array table{
    // RanSAP's five.
    Feature{"read_bytes_per_s", "bytes/s", "bytes read / T", ransap, Needs::reads, true, throughput<R>},
    Feature{"write_bytes_per_s", "bytes/s", "bytes written / T", ransap, Needs::writes, true, throughput<Wr>},
    Feature{"read_lba_variance", "sectors^2", "population variance of the read rows' LBA", ransap, Needs::reads, true, lba_variance<R>},
    Feature{"write_lba_variance", "sectors^2", "population variance of the write rows' LBA", ransap, Needs::writes, true, lba_variance<Wr>},
    Feature{"write_entropy", "1", "mean entropy of the write rows where known", ransap, Needs::entropy, false, entropy_mean},
    // RanSMAP's 18 of memory.
    Feature{"memory_write_entropy", "1", "mean entropy of mem_write rows", ransmap, Needs::memory, true, memory_entropy<mw>},
    Feature{"memory_readwrite_entropy", "1", "mean entropy of mem_readwrite rows", ransmap, Needs::memory, true, memory_entropy<mrw>},
    Feature{"memory_read_4k", "rows", "mem_read rows of 4 KiB mappings", ransmap, Needs::memory, true, memory_count<mr, 0>},
    Feature{"memory_write_4k", "rows", "mem_write rows of 4 KiB mappings", ransmap, Needs::memory, true, memory_count<mw, 0>},
    Feature{"memory_readwrite_4k", "rows", "mem_readwrite rows of 4 KiB mappings", ransmap, Needs::memory, true, memory_count<mrw, 0>},
    Feature{"memory_exec_4k", "rows", "mem_exec rows of 4 KiB mappings", ransmap, Needs::memory, true, memory_count<mx, 0>},
    Feature{"memory_read_2m", "rows", "mem_read rows of 2 MiB mappings", ransmap, Needs::memory, true, memory_count<mr, 1>},
    Feature{"memory_write_2m", "rows", "mem_write rows of 2 MiB mappings", ransmap, Needs::memory, true, memory_count<mw, 1>},
    Feature{"memory_readwrite_2m", "rows", "mem_readwrite rows of 2 MiB mappings", ransmap, Needs::memory, true, memory_count<mrw, 1>},
    Feature{"memory_exec_2m", "rows", "mem_exec rows of 2 MiB mappings", ransmap, Needs::memory, true, memory_count<mx, 1>},
    Feature{"memory_read_mmio", "rows", "mem_read rows of MMIO", ransmap, Needs::memory, true, memory_count<mr, 2>},
    Feature{"memory_write_mmio", "rows", "mem_write rows of MMIO", ransmap, Needs::memory, true, memory_count<mw, 2>},
    Feature{"memory_readwrite_mmio", "rows", "mem_readwrite rows of MMIO", ransmap, Needs::memory, true, memory_count<mrw, 2>},
    Feature{"memory_exec_mmio", "rows", "mem_exec rows of MMIO", ransmap, Needs::memory, true, memory_count<mx, 2>},
    Feature{"memory_read_variance", "bytes^2", "population variance of mem_read addresses", ransmap, Needs::memory, true, memory_variance<mr>},
    Feature{"memory_write_variance", "bytes^2", "population variance of mem_write addresses", ransmap, Needs::memory, true, memory_variance<mw>},
    Feature{"memory_readwrite_variance", "bytes^2", "population variance of mem_readwrite addresses", ransmap, Needs::memory, true, memory_variance<mrw>},
    Feature{"memory_exec_variance", "bytes^2", "population variance of mem_exec addresses", ransmap, Needs::memory, true, memory_variance<mx>},
    // What reads look like.
    Feature{"read_rate", "rows/s", "read rows / T", own, Needs::reads, true, row_rate<R>},
    Feature{"read_single_runs", "1", "read runs of one row / read runs", own, Needs::reads, false, single_runs<R>},
    Feature{"read_single_peak", "log2", "log2(1 + the most read runs of one row per second in any 10 s that end in the window)", own, Needs::reads, true, peak_rate<PeakCount::read_single_runs>},
    Feature{"read_run_length", "rows", "rows of read runs / read runs", own, Needs::reads, false, run_length<R>},
    Feature{"read_in_runs_2_to_7", "1", "rows in read runs of 2..7 / rows in read runs", own, Needs::reads, false, share_of_run_rows<R, RowCount::run_rows_2_to_7>},
    Feature{"read_in_runs_8_to_15", "1", "rows in read runs of 8..15 / rows in read runs", own, Needs::reads, false, share_of_run_rows<R, RowCount::run_rows_8_to_15>},
    Feature{"read_in_runs_16_to_63", "1", "rows in read runs of 16..63 / rows in read runs", own, Needs::reads, false, share_of_run_rows<R, RowCount::run_rows_16_to_63>},
    Feature{"read_in_runs_from_64", "1", "rows in read runs of 64 and more / rows in read runs", own, Needs::reads, false, share_of_run_rows<R, RowCount::run_rows_from_64>},
    Feature{"read_partial", "1", "read rows below 4,096 bytes / read rows", own, Needs::reads, false, share_of_rows<R, RowCount::partial>},
    Feature{"read_aligned", "1", "read rows at a multiple of 8 sectors / read rows", own, Needs::reads, false, share_of_rows<R, RowCount::aligned>},
    Feature{"read_jumps_forward", "1", "read jumps upwards / read jumps", own, Needs::reads, false, share_of_jumps<R, RowCount::jumps_forward>},
    Feature{"read_jumps_near", "1", "read jumps below 1 MiB / read jumps", own, Needs::reads, false, share_of_jumps<R, RowCount::jumps_near>},
    Feature{"read_jumps_far", "1", "read jumps from 512 MiB / read jumps", own, Needs::reads, false, share_of_jumps<R, RowCount::jumps_far>},
    Feature{"read_rows_per_zone", "rows", "read rows / 1 MiB zones read (estimate)", own, Needs::reads, false, rows_per_zone<R>},
    Feature{"read_working_set", "MiB", "1 MiB zones read (linear counting, 2,048 slots)", deftpunk, Needs::reads, true, working_set<R>},
    Feature{"read_active", "1", "100 ms slots with reads / slots of T", own, Needs::reads, false, active_slots<R>},
    Feature{"read_dispersion", "1", "variance / mean of read rows per 100 ms", own, Needs::reads, true, dispersion<R>},
    Feature{"read_evenness", "1", "(sum n)^2 / (slots * sum n^2), n read rows per 100 ms", own, Needs::reads, false, effective_slots<R>},
    // What writes look like.
    Feature{"write_rate", "rows/s", "write rows / T", own, Needs::writes, true, row_rate<Wr>},
    Feature{"write_single_runs", "1", "write runs of one row / write runs", own, Needs::writes, false, single_runs<Wr>},
    Feature{"write_run_length", "rows", "rows of write runs / write runs", own, Needs::writes, false, run_length<Wr>},
    Feature{"write_in_runs_2_to_7", "1", "rows in write runs of 2..7 / rows in write runs", own, Needs::writes, false, share_of_run_rows<Wr, RowCount::run_rows_2_to_7>},
    Feature{"write_in_runs_8_to_15", "1", "rows in write runs of 8..15 / rows in write runs", own, Needs::writes, false, share_of_run_rows<Wr, RowCount::run_rows_8_to_15>},
    Feature{"write_in_runs_16_to_63", "1", "rows in write runs of 16..63 / rows in write runs", own, Needs::writes, false, share_of_run_rows<Wr, RowCount::run_rows_16_to_63>},
    Feature{"write_in_runs_from_64", "1", "rows in write runs of 64 and more / rows in write runs", own, Needs::writes, false, share_of_run_rows<Wr, RowCount::run_rows_from_64>},
    Feature{"write_partial", "1", "write rows below 4,096 bytes / write rows", own, Needs::writes, false, share_of_rows<Wr, RowCount::partial>},
    Feature{"write_aligned", "1", "write rows at a multiple of 8 sectors / write rows", own, Needs::writes, false, share_of_rows<Wr, RowCount::aligned>},
    Feature{"write_jumps_forward", "1", "write jumps upwards / write jumps", own, Needs::writes, false, share_of_jumps<Wr, RowCount::jumps_forward>},
    Feature{"write_jumps_near", "1", "write jumps below 1 MiB / write jumps", own, Needs::writes, false, share_of_jumps<Wr, RowCount::jumps_near>},
    Feature{"write_jumps_far", "1", "write jumps from 512 MiB / write jumps", own, Needs::writes, false, share_of_jumps<Wr, RowCount::jumps_far>},
    Feature{"write_rows_per_zone", "rows", "write rows / 1 MiB zones written (estimate)", own, Needs::writes, false, rows_per_zone<Wr>},
    Feature{"write_working_set", "MiB", "1 MiB zones written (linear counting, 2,048 slots)", deftpunk, Needs::writes, true, working_set<Wr>},
    Feature{"write_distinct", "1", "distinct 4 KiB blocks written (linear counting, 8,192 slots) / write rows", own, Needs::writes, false, distinct_share<Wr>},
    Feature{"write_active", "1", "100 ms slots with writes / slots of T", own, Needs::writes, false, active_slots<Wr>},
    Feature{"write_dispersion", "1", "variance / mean of write rows per 100 ms", own, Needs::writes, true, dispersion<Wr>},
    Feature{"write_evenness", "1", "(sum n)^2 / (slots * sum n^2), n write rows per 100 ms", own, Needs::writes, false, effective_slots<Wr>},
    // How writes follow reads: the encryptor's mark, with or without payload.
    Feature{"overwrite_after_read", "1", "write rows to blocks read within the history / write rows", insider, Needs::writes, false, share_of_writes<WriteCount::overwrites>},
    Feature{"overwrite_after_read_rate", "rows/s", "write rows to blocks read within the history / T", insider, Needs::writes, true, overwrite_rate},
    Feature{"overwrite_peak", "log2", "log2(1 + the most overwrites after read per second in any 10 s that end in the window)", own, Needs::writes, true, peak_rate<PeakCount::overwrites>},
    Feature{"reads_overwritten", "1", "first writes to a block since its read / read rows", insider, Needs::writes, false, share_of_reads<WriteCount::first_overwrites>},
    Feature{"overwrite_latency", "s", "mean time of those first writes since the read", own, Needs::writes, false, overwrite_latency},
    Feature{"overwrite_in_1_s", "1", "overwrites at most 1 s after the read / overwrites", own, Needs::writes, false, share_of_overwrites<WriteCount::overwrites_in_1_s>},
    Feature{"overwrite_in_10_s", "1", "overwrites at most 10 s after the read / overwrites", own, Needs::writes, false, share_of_overwrites<WriteCount::overwrites_in_10_s>},
    Feature{"overwrite_at_rest", "1", "write rows that take away what lay there (see above) / write rows", own, Needs::writes, false, share_of_writes<WriteCount::at_rest>},
    Feature{"at_rest_in_runs", "1", "of these, those in write runs of 4 rows and more, when the run ends / write rows", own, Needs::writes, false, share_of_writes<WriteCount::at_rest_in_runs>},
    Feature{"at_rest_in_runs_peak", "log2", "log2(1 + the most of these in such runs per second in any 10 s that end in the window)", own, Needs::writes, true, peak_rate<PeakCount::at_rest_in_runs>},
    Feature{"reads_overwritten_at_rest", "1", "write rows that take away what lay there / read rows", own, Needs::writes, false, share_of_reads<WriteCount::at_rest>},
    Feature{"read_back", "1", "read rows of blocks written within the history / read rows", own, Needs::writes, false, share_of_reads<WriteCount::read_back>},
    Feature{"rewrites", "1", "write rows to blocks written within the history / write rows", deftpunk, Needs::writes, false, share_of_writes<WriteCount::rewrites>},
    Feature{"write_untouched", "1", "write rows to blocks neither read nor written within the history / write rows", own, Needs::writes, false, share_of_writes<WriteCount::untouched>},
    Feature{"write_near_read", "1", "write rows less than 1 MiB from the last read's end / write rows", own, Needs::writes, false, share_of_writes<WriteCount::near_read>},
    Feature{"read_share", "1", "bytes read / bytes read and written", deftpunk, Needs::writes, false, read_bytes_share},
    Feature{"direction_switches", "1", "rows of the other direction than the row before / rows", own, Needs::writes, false, switches},
    Feature{"zones_read_and_written", "1", "2 * zones both read and written / (zones read + zones written)", own, Needs::writes, false, zones_both},
    Feature{"trim_share", "1", "bytes trimmed / bytes trimmed and written", own, Needs::writes, false, trim_share},
    Feature{"flushes_per_write", "1", "flushes / write rows", own, Needs::writes, false, flushes_per_write},
    // What is written.
    Feature{"entropy_deviation", "1", "standard deviation of it", own, Needs::entropy, false, entropy_deviation},
    Feature{"entropy_below_03", "1", "write rows of entropy < 0.3 / those of known entropy", own, Needs::entropy, false, share_of_entropies<WriteCount::entropy_below_03>},
    Feature{"entropy_03_to_07", "1", "... 0.3 <= entropy < 0.7", own, Needs::entropy, false, share_of_entropies<WriteCount::entropy_03_to_07>},
    Feature{"entropy_07_to_09", "1", "... 0.7 <= entropy < 0.9", own, Needs::entropy, false, share_of_entropies<WriteCount::entropy_07_to_09>},
    Feature{"entropy_09_to_098", "1", "... 0.9 <= entropy < 0.98", own, Needs::entropy, false, share_of_entropies<WriteCount::entropy_09_to_098>},
    Feature{"entropy_from_098", "1", "... 0.98 <= entropy", own, Needs::entropy, false, share_of_entropies<WriteCount::entropy_from_098>},
    Feature{"high_overwrites", "1", "overwrites after read of entropy >= 0.9 / those of known entropy", own, Needs::entropy, false, share_of_entropies<WriteCount::high_overwrites>},
    Feature{"high_at_rest", "1", "write rows of entropy >= 0.9 that take away what lay there / those of known entropy", own, Needs::entropy, false, share_of_entropies<WriteCount::high_at_rest>},
    Feature{"high_overwrite_rate", "rows/s", "overwrites after read of entropy >= 0.9 / T", own, Needs::entropy, true, high_overwrite_rate},
    Feature{"high_overwrite_peak", "log2", "log2(1 + the most overwrites after read of entropy >= 0.9 per second in any 10 s that end in the window)", own, Needs::entropy, true, peak_rate<PeakCount::high_overwrites>},
    Feature{"overwrite_entropy", "1", "mean entropy of overwrites after read", own, Needs::entropy, false, overwrite_entropy},
    Feature{"entropy_change", "1", "mean of entropy - previous entropy of the same block", amoeba, Needs::entropy, false, entropy_change},
    Feature{"entropy_rises", "1", "rewrites whose entropy rose by 0.1 or more / rewrites of known entropies", amoeba, Needs::entropy, false, entropy_rises},
};
// clang-format on

constexpr std::array<std::string_view, 7> set_names{"ransap", "ransap-reads", "ransmap", "rich",
                                                    "reads",  "payload-free", "storage"};

bool belongs(Feature const& feature, FeatureSet set)
{
    bool const five = &feature - table.data() < 5;
    switch (set) {
    case FeatureSet::ransap:
        return five;
    case FeatureSet::ransap_reads:
        return five && feature.needs == Needs::reads;
    case FeatureSet::ransmap:
        return &feature - table.data() < 23;
    case FeatureSet::rich:
        return !feature.of_the_machine && feature.needs != Needs::memory;
    case FeatureSet::reads:
        return !feature.of_the_machine && feature.needs == Needs::reads;
    case FeatureSet::payload_free:
        return !feature.of_the_machine && feature.needs != Needs::entropy;
    case FeatureSet::storage:
        return feature.needs != Needs::memory;
    }
    return false;
}

} // namespace

std::span<Feature const> catalogue()
{
    return table;
}

Feature const* find_feature(std::string_view name)
{
    auto const found = std::ranges::find(table, name, &Feature::name);
    return found == table.end() ? nullptr : &*found;
}

std::string_view to_string(FeatureSet set)
{
    return set_names[static_cast<std::size_t>(set)];
}

FeatureSet feature_set_of(std::string_view name)
{
    auto const found = std::ranges::find(set_names, name);
    if (found == set_names.end())
        throw Error{fmt::format("there is no feature set '{}'; there are {}", name, fmt::join(set_names, ", "))};
    return static_cast<FeatureSet>(found - set_names.begin());
}

std::vector<Feature const*> features_of(FeatureSet set)
{
    std::vector<Feature const*> result;
    for (Feature const& feature : table)
        if (belongs(feature, set))
            result.push_back(&feature);
    return result;
}

std::string column_name(FeatureColumn const& column, std::span<std::int64_t const> windows_ns)
{
    std::int64_t const ms = windows_ns[column.window] / 1'000'000;
    return ms % 1000 == 0 ? fmt::format("{}@{}s", column.feature->name, ms / 1000)
                          : fmt::format("{}@{}ms", column.feature->name, ms);
}

} // namespace undercroft::analysis
