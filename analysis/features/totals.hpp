// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What is counted of the accesses in a stretch of time. Everything is a whole number, so adding and taking away
// stretches in any order gives the same totals to the last bit: streaming and batch cannot differ.
#include <array>
#include <cstddef>
#include <cstdint>

namespace undercroft::analysis {

/// Counted for reads and for writes alike; a row is at most 4,096 bytes of one access.
enum class RowCount : std::uint8_t {
    rows,
    bytes,
    partial,          ///< rows shorter than 4,096 bytes
    aligned,          ///< rows that begin at a multiple of 8 sectors
    runs,             ///< maximal series of rows, each beginning where the one before ended
    run_rows,         ///< rows of those runs
    runs_of_1,        ///< runs by their number of rows
    run_rows_2_to_7,  ///< rows in runs of 2 to 7 rows
    run_rows_8_to_15, ///< ... 8 to 15
    run_rows_16_to_63,
    run_rows_from_64,
    jumps,         ///< places where a run ends and another begins
    jumps_forward, ///< to a higher address
    jumps_near,    ///< by less than 2,048 sectors (1 MiB)
    jumps_far,     ///< by 2^20 sectors (512 MiB) or more
    slots,         ///< slots of 100 ms with rows
    slot_squares,  ///< sum over those slots of (rows in it)^2
    count
};
inline constexpr std::size_t row_counts = static_cast<std::size_t>(RowCount::count);

enum class WriteCount : std::uint8_t {
    overwrites,         ///< write rows to a block that was read before, within the history
    first_overwrites,   ///< the first write to the block since that read
    overwrites_in_1_s,  ///< overwrites at most 1 s after the last read of the block
    overwrites_in_10_s, ///< ... 10 s
    overwrite_ms,       ///< sum of the first overwrites' time since the last read, ms
    rewrites,           ///< write rows to a block that was written before
    untouched,          ///< write rows to a block neither read nor written before
    near_read,          ///< write rows that begin less than 2,048 sectors from the last read's end
    entropy_known,
    entropy_below_03, ///< entropy < 0.3
    entropy_03_to_07,
    entropy_07_to_09,
    entropy_09_to_098,
    entropy_from_098,
    high_overwrites,    ///< overwrites with entropy >= 0.9
    overwrites_known,   ///< overwrites with known entropy
    at_rest,            ///< overwrites of what lay on the disk: of a block that had not been written before, or whose
                        ///< entropy rises by 0.1 or more since; not by what is of entropy < 0.5
    at_rest_in_runs,    ///< ... in write runs of 4 rows and more; counted when the run has ended
    high_at_rest,       ///< ... with entropy >= 0.9
    read_back,          ///< read rows of blocks that had been written
    rises_known,        ///< rewrites where this and the previous entropy are known
    rises,              ///< ... and this one is higher by 0.1 or more
    direction_switches, ///< rows of the other direction than the row before
    flushes,
    trims,
    trim_bytes,
    dropped_reads, ///< rows that the leak filter took out (counted in nothing else)
    lost_records,  ///< that gaps stand for
    count
};
inline constexpr std::size_t write_counts = static_cast<std::size_t>(WriteCount::count);

enum class Direction : std::uint8_t { read, write };

/// RanSMAP's memory files, in its order.
enum class MemoryKind : std::uint8_t { read, write, read_write, execute };
inline constexpr std::size_t memory_kinds = 4;

/// Large enough for the sum of squares of any window that memory could hold.
__extension__ using Wide = unsigned __int128;
__extension__ using WideSigned = __int128;

struct SquareSums {
    Wide sum{};
    Wide squares{};

    void add(std::uint64_t value)
    {
        sum += value;
        squares += Wide{value} * value;
    }
};

/// Entropies are summed in steps of 2^-40.
inline constexpr double entropy_unit = 1.0 / static_cast<double>(std::uint64_t{1} << 40);
/// Addresses beyond this (LBAs: 2^48, all that ATA can name; bytes: 256 TiB) count as this in variances, so that
/// the squares of 2^32 of them cannot overflow.
inline constexpr std::uint64_t most_address = std::uint64_t{1} << 48;

struct PaneTotals {
    std::array<std::array<std::uint64_t, row_counts>, 2> rows{};
    std::array<std::uint64_t, write_counts> writes{};
    std::array<SquareSums, 2> lba{};
    SquareSums entropy;
    Wide overwrite_entropy{};
    WideSigned entropy_change{};                                     ///< of rewrites where both are known
    std::array<std::array<std::uint64_t, 3>, memory_kinds> memory{}; ///< by mapping: 4 KiB, 2 MiB, MMIO
    std::array<std::uint64_t, memory_kinds> memory_rows{};
    std::array<SquareSums, memory_kinds> memory_address{};
    std::array<Wide, memory_kinds> memory_entropy{};
    std::array<std::uint64_t, memory_kinds> memory_entropy_known{};

    [[nodiscard]] std::uint64_t get(Direction direction, RowCount count) const
    {
        return rows[static_cast<std::size_t>(direction)][static_cast<std::size_t>(count)];
    }
    [[nodiscard]] std::uint64_t get(WriteCount count) const { return writes[static_cast<std::size_t>(count)]; }
    void add(Direction direction, RowCount count, std::uint64_t value = 1)
    {
        rows[static_cast<std::size_t>(direction)][static_cast<std::size_t>(count)] += value;
    }
    void add(WriteCount count, std::uint64_t value = 1) { writes[static_cast<std::size_t>(count)] += value; }

    PaneTotals& operator+=(PaneTotals const& other);
    PaneTotals& operator-=(PaneTotals const& other);
};

/// Distinct places touched in a window, estimated by linear counting.
struct Distinct {
    double blocks{}; ///< of 4 KiB
    double zones{};  ///< of 1 MiB
};

/// Counts whose busiest ten seconds are told.
enum class PeakCount : std::uint8_t {
    read_single_runs, ///< read runs of one row
    overwrites,       ///< WriteCount::overwrites
    high_overwrites,  ///< WriteCount::high_overwrites
    at_rest_in_runs,  ///< WriteCount::at_rest_in_runs
    count
};
inline constexpr std::size_t peak_counts = static_cast<std::size_t>(PeakCount::count);
inline constexpr std::int64_t peak_ns = 10'000'000'000;

/// Everything that a feature is computed from.
struct WindowTotals {
    PaneTotals totals;
    double seconds{}; ///< the window's length, less when the trace began within it
    std::array<Distinct, 2> distinct{};
    double zones_both{};                            ///< zones read and written
    std::array<std::uint64_t, peak_counts> peaks{}; ///< the most within ten seconds that end in the window

    [[nodiscard]] Distinct const& of(Direction direction) const
    {
        return distinct[static_cast<std::size_t>(direction)];
    }
};

} // namespace undercroft::analysis
