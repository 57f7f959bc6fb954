// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/features/extractor.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint32_t row_bytes = 4096;
constexpr std::uint32_t sectors_per_row = 8;
constexpr std::uint64_t most_pieces = 65536; // 256 MiB, more than any ATA command moves
constexpr std::uint64_t longest_run = 1024;  // a longer one is cut, so that it counts before it ends
constexpr std::uint64_t data_run = 4;        // rows: file systems' own records lie in shorter runs
constexpr std::int64_t slot_ns = 100'000'000;
constexpr std::int64_t most_panes = 20'000;
constexpr std::int64_t longest_window_ns = 86'400'000'000'000;
constexpr std::int64_t latest_ns = 9'000'000'000'000'000'000; // leaves room for windows after it
constexpr std::uint64_t near_sectors = 2048;
constexpr std::uint64_t far_sectors = 1 << 20;
constexpr unsigned block_slot_bits = 13;
constexpr unsigned zone_slot_bits = 11;
constexpr std::uint64_t zone_sectors = 2048;

std::size_t slot_of(std::uint64_t value, unsigned bits)
{
    return static_cast<std::size_t>((value * 0x9E3779B97F4A7C15U) >> (64 - bits));
}

std::uint64_t entropy_units(float entropy)
{
    return static_cast<std::uint64_t>(static_cast<double>(entropy) / entropy_unit + 0.5);
}

/// What is no entropy is unknown.
float valid(float entropy)
{
    return entropy >= 0 && entropy <= 1 ? entropy : std::numeric_limits<float>::quiet_NaN();
}

constexpr double risen = 0.1;
constexpr float plain_below = 0.5F;

double entropy_change(BlockState const& state, Access const& row)
{
    return static_cast<double>(row.entropy) - static_cast<double>(state.entropy); // NaN: not known
}

/// Of a write: it takes away what lay on the disk when it was read, something old or something of lower entropy, and
/// does not put zeros or a file system's records there.
bool is_at_rest(BlockState const& state, Access const& row)
{
    if (state.last_read == 0 || row.entropy < plain_below)
        return false;
    return state.last_write == 0 || (!state.overwritten && entropy_change(state, row) >= risen);
}

/// The history's name of the block that holds `lba`.
std::uint64_t block_of(Access const& access)
{
    return std::min(access.address, most_address) / sectors_per_row | std::uint64_t{access.source} << 48;
}

/// Adds `count` values from `first`, each `sectors_per_row` more than the one before.
void add_series(SquareSums& sums, std::uint64_t first, std::uint64_t count)
{
    Wide const n = count;
    Wide const steps = n * (n - 1) / 2;
    sums.sum += n * first + sectors_per_row * steps;
    sums.squares += n * first * first + 2 * sectors_per_row * first * steps +
                    sectors_per_row * sectors_per_row * (n * (n - 1) * (2 * n - 1) / 6);
}

std::uint64_t distance(std::uint64_t a, std::uint64_t b)
{
    return a < b ? b - a : a - b;
}

WriteCount entropy_class(float entropy)
{
    if (entropy < 0.3F)
        return WriteCount::entropy_below_03;
    if (entropy < 0.7F)
        return WriteCount::entropy_03_to_07;
    if (entropy < 0.9F)
        return WriteCount::entropy_07_to_09;
    return entropy < 0.98F ? WriteCount::entropy_09_to_098 : WriteCount::entropy_from_098;
}

/// Linear counting: from how many of the slots are empty.
double estimate(std::size_t used, std::size_t slots)
{
    double const empty = static_cast<double>(std::max<std::size_t>(slots - used, 1));
    return -static_cast<double>(slots) * std::log(empty / static_cast<double>(slots));
}

std::uint64_t peak_count(PaneTotals const& totals, PeakCount count)
{
    switch (count) {
    case PeakCount::read_single_runs:
        return totals.get(Direction::read, RowCount::runs_of_1);
    case PeakCount::overwrites:
        return totals.get(WriteCount::overwrites);
    case PeakCount::high_overwrites:
        return totals.get(WriteCount::high_overwrites);
    case PeakCount::at_rest_in_runs:
        return totals.get(WriteCount::at_rest_in_runs);
    case PeakCount::count:
        break;
    }
    return 0;
}

std::size_t touched_since(std::vector<std::int64_t> const& slots, std::int64_t first_pane)
{
    std::size_t used = 0;
    for (std::int64_t const pane : slots)
        used += pane >= first_pane ? 1 : 0;
    return used;
}

} // namespace

FeatureExtractor::FeatureExtractor(ExtractorOptions options, Sink sink)
    : options_{std::move(options)}, sink_{std::move(sink)},
      history_{static_cast<std::uint32_t>(std::clamp<std::int64_t>(options_.history_ns / 1'000'000, 1, 1'000'000'000)),
               options_.most_blocks}
{
    pane_ns_ = options_.step_ns;
    std::int64_t longest = 0;
    for (std::int64_t const window : options_.windows_ns) {
        if (window <= 0 || window > longest_window_ns)
            throw Error{"a window must be longer than 0 and at most a day"};
        pane_ns_ = std::gcd(pane_ns_, window);
        longest = std::max(longest, window);
    }
    if (options_.step_ns <= 0 || options_.step_ns > longest_window_ns || longest == 0)
        throw Error{"at least one window is needed, and a step longer than 0 and at most a day"};
    longest_panes_ = longest / pane_ns_;
    panes_per_step_ = options_.step_ns / pane_ns_;
    if (longest_panes_ > most_panes || panes_per_step_ > most_panes)
        throw Error{fmt::format("windows and step have no common part longer than 1/{} of the longest", most_panes)};
    peak_panes_ = std::clamp<std::int64_t>(peak_ns / pane_ns_, 1, longest_panes_);
    peaks_.resize(options_.windows_ns.size());
    closed_.resize(static_cast<std::size_t>(longest_panes_));
    sums_.resize(options_.windows_ns.size());
    for (Touched& touched : touched_) {
        touched.blocks.assign(std::size_t{1} << block_slot_bits, -1);
        touched.zones.assign(std::size_t{1} << zone_slot_bits, -1);
    }
}

void FeatureExtractor::push(Access const& access)
{
    std::int64_t const time_ns = std::clamp<std::int64_t>(access.time_ns, 0, latest_ns);
    if (start_ns_ == std::numeric_limits<std::int64_t>::min()) {
        start_ns_ = now_ns_ = time_ns;
        pane_end_ns_ = start_ns_ + pane_ns_;
    }
    now_ns_ = std::max(now_ns_, time_ns);
    if (now_ns_ >= pane_end_ns_)
        advance_to(now_ns_);
    last_active_pane_ = pane_;
    switch (access.kind) {
    case TraceKind::read:
    case TraceKind::write:
        return storage_access(access);
    case TraceKind::flush:
        return open_.add(WriteCount::flushes);
    case TraceKind::trim:
        open_.add(WriteCount::trims);
        return open_.add(WriteCount::trim_bytes, access.bytes);
    case TraceKind::gap:
        return open_.add(WriteCount::lost_records, access.bytes);
    case TraceKind::note:
        return;
    case TraceKind::memory_read:
    case TraceKind::memory_write:
    case TraceKind::memory_read_write:
    case TraceKind::memory_execute:
        return memory_row(access);
    }
}

void FeatureExtractor::storage_access(Access const& access)
{
    Direction const direction = access.kind == TraceKind::read ? Direction::read : Direction::write;
    std::uint64_t const pieces = std::min((std::uint64_t{access.bytes} + row_bytes - 1) / row_bytes, most_pieces);
    if (options_.sums_only)
        return storage_sums(direction, access, pieces);
    Access row = access;
    row.entropy = valid(access.entropy);
    std::uint32_t left = access.bytes;
    for (std::uint64_t i = 0; i < pieces; ++i) {
        row.bytes = std::min(left, row_bytes);
        storage_row(direction, row);
        row.address += sectors_per_row;
        left -= row.bytes;
    }
}

void FeatureExtractor::storage_sums(Direction direction, Access const& access, std::uint64_t pieces)
{
    rows_ += pieces;
    open_.add(direction, RowCount::rows, pieces);
    open_.add(direction, RowCount::bytes, std::min<std::uint64_t>(access.bytes, most_pieces * row_bytes));
    add_series(open_.lba[static_cast<std::size_t>(direction)], std::min(access.address, most_address), pieces);
    if (float const entropy = valid(access.entropy); direction == Direction::write && !std::isnan(entropy)) {
        open_.add(WriteCount::entropy_known, pieces);
        open_.entropy.sum += Wide{entropy_units(entropy)} * pieces;
    }
}

void FeatureExtractor::push(std::span<Access const> accesses)
{
    constexpr std::size_t ahead = 12;
    for (std::size_t i = 0; i < accesses.size(); ++i) {
        if (i + ahead < accesses.size())
            history_.prefetch(block_of(accesses[i + ahead]));
        push(accesses[i]);
    }
}

void FeatureExtractor::advance_to(std::int64_t now_ns)
{
    if (start_ns_ == std::numeric_limits<std::int64_t>::min())
        return;
    now_ns_ = std::max(now_ns_, std::min(now_ns, latest_ns));
    while (now_ns_ >= pane_end_ns_) {
        close_pane();
        if (pane_ - last_active_pane_ > longest_panes_ + panes_per_step_)
            skip_silence(now_ns_);
    }
}

void FeatureExtractor::finish()
{
    if (start_ns_ == std::numeric_limits<std::int64_t>::min())
        return;
    std::int64_t const step = (now_ns_ - start_ns_) / options_.step_ns;
    advance_to(start_ns_ + (step + 1) * options_.step_ns);
}

/// Every window is empty: go on with the step that holds `time_ns`.
void FeatureExtractor::skip_silence(std::int64_t time_ns)
{
    std::int64_t const target = (time_ns - start_ns_) / pane_ns_ / panes_per_step_ * panes_per_step_;
    if (target <= pane_)
        return;
    pane_ = target;
    pane_end_ns_ = start_ns_ + (pane_ + 1) * pane_ns_;
    last_active_pane_ = pane_ - longest_panes_ - 1;
    std::ranges::fill(closed_, PaneTotals{});
    std::ranges::fill(sums_, PaneTotals{});
    stretch_ = {};
    for (auto& peaks : peaks_)
        peaks = {};
}

void FeatureExtractor::close_pane()
{
    for (Direction const direction : {Direction::read, Direction::write})
        close_slot(direction);
    follow_peaks();
    for (std::size_t i = 0; i < sums_.size(); ++i) {
        std::int64_t const panes = options_.windows_ns[i] / pane_ns_;
        if (pane_ >= panes)
            sums_[i] -= closed_[static_cast<std::size_t>((pane_ - panes) % longest_panes_)];
        sums_[i] += open_;
    }
    closed_[static_cast<std::size_t>(pane_ % longest_panes_)] = open_;
    open_ = {};
    ++pane_;
    pane_end_ns_ += pane_ns_;
    if (pane_ % panes_per_step_ == 0)
        emit();
}

void FeatureExtractor::Highest::add(std::int64_t pane, std::uint64_t value, std::int64_t panes)
{
    while (!entries.empty() && entries.back().value <= value)
        entries.pop_back();
    entries.push_back({pane, value});
    while (entries.front().pane <= pane - panes)
        entries.pop_front();
}

/// The open pane is about to close; the closed ones are still as they were.
void FeatureExtractor::follow_peaks()
{
    for (std::size_t i = 0; i < peak_counts; ++i) {
        stretch_[i] += peak_count(open_, static_cast<PeakCount>(i));
        if (pane_ >= peak_panes_)
            stretch_[i] -= peak_count(closed_[static_cast<std::size_t>((pane_ - peak_panes_) % longest_panes_)],
                                      static_cast<PeakCount>(i));
        for (std::size_t window = 0; window < peaks_.size(); ++window)
            peaks_[window][i].add(pane_, stretch_[i], options_.windows_ns[window] / pane_ns_);
    }
}

WindowTotals FeatureExtractor::window(std::size_t index) const
{
    std::int64_t const panes = std::min(options_.windows_ns[index] / pane_ns_, pane_);
    std::int64_t const first = pane_ - panes;
    WindowTotals result;
    result.totals = sums_[index];
    result.seconds = static_cast<double>(panes * pane_ns_) / 1e9;
    if (options_.sums_only)
        return result;
    for (std::size_t d = 0; d < 2; ++d) {
        result.distinct[d].blocks = estimate(touched_since(touched_[d].blocks, first), touched_[d].blocks.size());
        result.distinct[d].zones = estimate(touched_since(touched_[d].zones, first), touched_[d].zones.size());
    }
    for (std::size_t i = 0; i < peak_counts; ++i)
        result.peaks[i] = peaks_[index][i].value();
    std::size_t both = 0;
    for (std::size_t i = 0; i < touched_[0].zones.size(); ++i)
        both += touched_[0].zones[i] >= first && touched_[1].zones[i] >= first ? 1 : 0;
    result.zones_both = static_cast<double>(both);
    return result;
}

void FeatureExtractor::emit()
{
    if (pane_ - last_active_pane_ > longest_panes_)
        return; // nothing is in any window
    WindowRow row;
    row.end_ns = start_ns_ + pane_ * pane_ns_;
    row.whole = pane_ >= longest_panes_;
    for (std::size_t i = 0; i < sums_.size(); ++i)
        row.windows.push_back(window(i));
    sink_(row);
}

void FeatureExtractor::storage_row(Direction direction, Access const& row)
{
    ++rows_;
    bool const write = direction == Direction::write;
    auto const now = static_cast<HistoryTime>(
        std::min<std::int64_t>((now_ns_ - start_ns_) / 1'000'000 + 1, std::numeric_limits<HistoryTime>::max()));
    BlockState& state = history_.at(block_of(row), now);
    bool const repeated = !write && state.last_read != 0;
    bool const written = state.last_write != 0;
    bool const at_rest = write && is_at_rest(state, row);
    if (write) {
        relate_write(state, now, row, at_rest);
        state.last_write = now;
        state.entropy = row.entropy;
        state.overwritten = true;
    } else {
        state.last_read = now;
        state.overwritten = false;
    }
    if (options_.first_reads_only && !write && (repeated || row.bytes < 512))
        return open_.add(WriteCount::dropped_reads);
    open_.add(WriteCount::read_back, !write && written ? 1 : 0);
    place_row(direction, row, at_rest);
}

void FeatureExtractor::relate_write(BlockState const& state, HistoryTime now, Access const& row, bool at_rest)
{
    bool const known = !std::isnan(row.entropy);
    std::uint64_t const units = known ? entropy_units(row.entropy) : 0;
    if (known) {
        open_.add(WriteCount::entropy_known);
        open_.add(entropy_class(row.entropy));
        open_.entropy.add(units);
    }
    if (state.last_read != 0) {
        std::uint32_t const ms = now - std::min(now, state.last_read);
        open_.add(WriteCount::overwrites);
        open_.add(WriteCount::overwrites_in_1_s, ms <= 1000 ? 1 : 0);
        open_.add(WriteCount::overwrites_in_10_s, ms <= 10'000 ? 1 : 0);
        open_.add(WriteCount::first_overwrites, state.overwritten ? 0 : 1);
        open_.add(WriteCount::overwrite_ms, state.overwritten ? 0 : ms);
        open_.add(WriteCount::high_overwrites, known && row.entropy >= 0.9F ? 1 : 0);
        open_.add(WriteCount::overwrites_known, known ? 1 : 0);
        open_.overwrite_entropy += units;
    }
    open_.add(WriteCount::at_rest, at_rest ? 1 : 0);
    open_.add(WriteCount::high_at_rest, at_rest && known && row.entropy >= 0.9F ? 1 : 0);
    open_.add(WriteCount::rewrites, state.last_write != 0 ? 1 : 0);
    open_.add(WriteCount::untouched, state.last_write == 0 && state.last_read == 0 ? 1 : 0);
    if (known && !std::isnan(state.entropy)) {
        open_.add(WriteCount::rises_known);
        open_.add(WriteCount::rises, entropy_change(state, row) >= risen ? 1 : 0);
        open_.entropy_change += WideSigned{units} - WideSigned{entropy_units(state.entropy)};
    }
    Position const& read = positions_[0];
    open_.add(WriteCount::near_read, read.run != 0 && distance(row.address, read.end_lba) < near_sectors ? 1 : 0);
}

/// What depends on where the row lies relative to the one before of the same direction.
void FeatureExtractor::place_row(Direction direction, Access const& row, bool at_rest)
{
    std::uint64_t const lba = row.address;
    std::uint32_t const bytes = row.bytes;
    auto const d = static_cast<std::size_t>(direction);
    Position& position = positions_[d];
    open_.add(direction, RowCount::rows);
    open_.add(direction, RowCount::bytes, bytes);
    open_.add(direction, RowCount::partial, bytes < row_bytes ? 1 : 0);
    open_.add(direction, RowCount::aligned, lba % sectors_per_row == 0 ? 1 : 0);
    open_.lba[d].add(std::min(lba, most_address));
    if (last_direction_ >= 0 && last_direction_ != static_cast<int>(d))
        open_.add(WriteCount::direction_switches);
    last_direction_ = static_cast<int>(d);
    bool const follows = position.run != 0 && lba == position.end_lba;
    if (position.run != 0 && !follows) {
        std::uint64_t const jump = distance(lba, position.end_lba);
        open_.add(direction, RowCount::jumps);
        open_.add(direction, RowCount::jumps_forward, lba > position.end_lba ? 1 : 0);
        open_.add(direction, RowCount::jumps_near, jump < near_sectors ? 1 : 0);
        open_.add(direction, RowCount::jumps_far, jump >= far_sectors ? 1 : 0);
    }
    if (!follows || position.run >= longest_run)
        close_run(direction);
    ++position.run;
    position.at_rest += at_rest ? 1 : 0;
    position.end_lba = lba + (bytes + 511) / 512;
    std::int64_t const slot = (now_ns_ - start_ns_) / slot_ns;
    if (slot != position.slot)
        close_slot(direction);
    position.slot = slot;
    ++position.in_slot;
    touched_[d].blocks[slot_of(lba / sectors_per_row, block_slot_bits)] = pane_;
    touched_[d].zones[slot_of(lba / zone_sectors, zone_slot_bits)] = pane_;
}

void FeatureExtractor::close_run(Direction direction)
{
    Position& position = positions_[static_cast<std::size_t>(direction)];
    std::uint64_t const run = std::exchange(position.run, 0);
    std::uint64_t const at_rest = std::exchange(position.at_rest, 0);
    if (run == 0)
        return;
    open_.add(WriteCount::at_rest_in_runs, run >= data_run ? at_rest : 0);
    open_.add(direction, RowCount::runs);
    open_.add(direction, RowCount::run_rows, run);
    if (run == 1)
        open_.add(direction, RowCount::runs_of_1);
    else if (run < 8)
        open_.add(direction, RowCount::run_rows_2_to_7, run);
    else if (run < 16)
        open_.add(direction, RowCount::run_rows_8_to_15, run);
    else
        open_.add(direction, run < 64 ? RowCount::run_rows_16_to_63 : RowCount::run_rows_from_64, run);
}

void FeatureExtractor::close_slot(Direction direction)
{
    std::uint64_t& in_slot = positions_[static_cast<std::size_t>(direction)].in_slot;
    open_.add(direction, RowCount::slots, in_slot != 0 ? 1 : 0);
    open_.add(direction, RowCount::slot_squares, in_slot * in_slot);
    in_slot = 0;
}

void FeatureExtractor::memory_row(Access const& access)
{
    ++rows_;
    auto const kind = static_cast<std::size_t>(access.kind) - static_cast<std::size_t>(TraceKind::memory_read);
    ++open_.memory_rows[kind];
    if (access.mapping != MappingClass::none)
        ++open_.memory[kind][static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(access.mapping)))];
    open_.memory_address[kind].add(std::min(access.address, most_address));
    if (float const entropy = valid(access.entropy); !std::isnan(entropy)) {
        open_.memory_entropy[kind] += entropy_units(entropy);
        ++open_.memory_entropy_known[kind];
    }
}

} // namespace undercroft::analysis
