// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The rows of one stream, as docs/formats/store.md lays them out.
#include <memory>
#include <optional>

#include "collector/ingest/identity.hpp"
#include "collector/ingest/position.hpp"
#include "collector/ingest/slot.hpp"
#include "collector/store/hash_index.hpp"
#include "collector/store/parquet_file.hpp"

namespace undercroft::collector {

/// Bit of the store's flags column that no record carries: the gap was lost in transit.
inline constexpr std::uint16_t flag_lost_in_transit = 1U << 15;

struct RecordRow {
    std::uint64_t sequence{};
    std::int64_t time_utc_ns{};
    std::string_view kind;
    std::uint64_t address{};
    std::uint32_t length{};
    std::uint16_t source{};
    std::optional<float> entropy;
    std::uint16_t flags{};
    std::uint8_t page_class{}; ///< memory stream only
    std::optional<ContentHash> content;
    std::optional<std::string> request; ///< memory stream only
    std::uint64_t slot{};
};

[[nodiscard]] fs::path boot_folder(fs::path const& store, BootKey const& boot);
[[nodiscard]] fs::path stream_folder(fs::path const& store, StreamKey const& key);

/// One record file. Rows arrive in sequence order; memory is bounded by the row-group size.
class RecordFile {
public:
    RecordFile(fs::path stream_folder, wire::Stream stream);
    ~RecordFile();

    void add(RecordRow const& row);
    /// One row, or several for a gap longer than the length column can say.
    void add_gap(Gap const& gap, std::int64_t time_utc_ns, std::uint64_t slot);
    [[nodiscard]] bool empty() const { return !first_sequence_.has_value(); }
    void publish();

private:
    struct Columns;
    void flush();

    fs::path folder_;
    wire::Stream stream_;
    fs::path date_folder_;
    std::unique_ptr<Columns> columns_;
    std::unique_ptr<ParquetFile> file_;
    std::optional<std::uint64_t> first_sequence_;
    std::uint64_t last_sequence_ = 0;
};

/// A record as it stands in the table.
[[nodiscard]] RecordRow row_of(wire::Record const& record, std::uint64_t sequence, std::uint64_t slot);

/// Where the closed files of a stream end.
[[nodiscard]] StreamPosition position_from_files(fs::path const& stream_folder);

} // namespace undercroft::collector
