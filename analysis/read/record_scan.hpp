// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads the records of one boot in sequence order, only the columns asked for.
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/read/store.hpp"

namespace undercroft::analysis {

enum class RecordKind : std::uint8_t {
    // storage stream
    read,
    write,
    flush,
    trim,
    gap, ///< in every stream
    capture_off,
    capture_on,
    // memory stream
    memory_read,
    memory_write,
    memory_read_write,
    memory_execute,
    memory_page,
    memory_mode,
    memory_region,
    memory_armed,
    memory_disarmed,
    memory_sweep_begin,
    memory_sweep_end,
    memory_scanned,
};
inline constexpr std::size_t record_kinds = 19;

[[nodiscard]] std::string_view to_string(RecordKind kind);
/// Not an access: rows that no disk and no range of LBAs owns.
[[nodiscard]] constexpr bool is_note(RecordKind kind)
{
    return kind >= RecordKind::gap && kind <= RecordKind::capture_on;
}
/// A page that was read, written or executed.
[[nodiscard]] constexpr bool is_memory_access(RecordKind kind)
{
    return kind >= RecordKind::memory_read && kind <= RecordKind::memory_execute;
}

/// Bit 15 of `flags` of a gap row: lost between sensor and store, not in the sensor's buffer.
inline constexpr std::uint16_t gap_in_transit = 1U << 15;

using Hash = std::array<std::uint8_t, 32>;

/// One row. Fields whose column was not asked for keep their initial values.
struct RecordRow {
    std::uint64_t sequence{};
    std::int64_t time_ns{};  ///< UTC since 1970, never negative
    std::uint64_t address{}; ///< storage: LBA of 512 bytes; memory: guest-physical
    std::uint32_t length{};
    std::uint16_t source{};
    std::uint16_t flags{};
    RecordKind kind{};
    std::uint8_t page_class{};                              ///< memory
    float entropy{std::numeric_limits<float>::quiet_NaN()}; ///< NaN: none
    Hash const* content{};                                  ///< null: none; valid during the call only
    std::string_view request{};                             ///< memory_mode: JSON; valid during the call only

    /// First sector after the access; saturates, because a guest may ask for any address.
    [[nodiscard]] std::uint64_t end_lba() const
    {
        std::uint64_t const sectors = (std::uint64_t{length} + 511) / 512;
        return address > ~sectors ? ~std::uint64_t{0} : address + sectors;
    }
};

/// Columns to read besides seq, time and kind, which are always there.
struct Columns {
    bool address{};
    bool length{};
    bool source{};
    bool entropy{};
    bool flags{};
    bool content{};
    bool page_class{}; ///< memory stream only
    bool request{};    ///< memory stream only
};

/// Rows that do not match are not handed out. Notes (gaps, capture switched) always are, whatever their source.
struct RecordFilter {
    std::optional<std::int64_t> from_ns{}; ///< included
    std::optional<std::int64_t> to_ns{};   ///< excluded
    std::optional<std::uint16_t> source{};
    std::uint64_t first_lba{}; ///< the access touches [first_lba, end_lba)
    std::uint64_t end_lba{std::numeric_limits<std::uint64_t>::max()};
};

/// Sequence numbers that no row, not even a gap row, accounts for (a file is missing).
struct Hole {
    std::uint64_t first_sequence{};
    std::uint64_t count{};
};

struct ScanResult {
    std::uint64_t rows{}; ///< all rows read, before the filter
    std::vector<Hole> holes;
};

/// What the visitor wants next.
enum class Visit { next, stop };

/// Calls `visit` for each matching row of one stream's files in sequence order. Throws Error, naming file and
/// column, when a file is damaged or is not what docs/formats/store.md says.
ScanResult scan_records(std::vector<RecordFile> const& files, Columns columns, RecordFilter const& filter,
                        std::function<Visit(RecordRow const&)> const& visit);
/// Rows of some row groups of one file (empty: all of them), unfiltered, in their order. What does not fit the file's
/// name or the store's rules throws Error as above; that the file is complete is looked at only when it is read whole.
void scan_row_groups(RecordFile const& file, std::vector<int> const& groups, Columns columns,
                     std::function<Visit(RecordRow const&)> const& visit);
[[nodiscard]] int count_row_groups(RecordFile const& file);
/// The same for the storage stream of a boot.
ScanResult scan_records(Boot const& boot, Columns columns, RecordFilter const& filter,
                        std::function<Visit(RecordRow const&)> const& visit);

} // namespace undercroft::analysis
