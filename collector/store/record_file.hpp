// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One record file of a stream, and what the files of a stream say of themselves by their names.
#include <memory>
#include <optional>

#include "collector/ingest/identity.hpp"
#include "collector/store/parquet_file.hpp"
#include "collector/store/record_rows.hpp"

namespace undercroft::collector {

[[nodiscard]] fs::path boot_folder(fs::path const& store, BootKey const& boot);
[[nodiscard]] fs::path stream_folder(fs::path const& store, BootKey const& boot,
                                     wire::Stream stream = wire::Stream::storage);

/// Rows arrive in sequence order; memory is bounded by the row-group size.
class RecordFile {
public:
    RecordFile(fs::path stream_folder, wire::Stream stream);
    ~RecordFile();

    void add(wire::Record const& record, std::uint64_t sequence, std::uint64_t slot,
             std::optional<ContentHash> const& content, std::string_view request = {});
    /// One row, or several for a gap longer than the length column can say.
    void add_gap(Gap const& gap, std::int64_t time_utc_ns, std::uint64_t slot);
    [[nodiscard]] bool empty() const { return !first_sequence_.has_value(); }
    /// The file's final name.
    fs::path publish();

private:
    void begin(std::uint64_t sequence, std::int64_t time_utc_ns);
    void flush();

    fs::path folder_;
    fs::path date_folder_;
    wire::Stream stream_;
    RecordRows rows_;
    std::unique_ptr<ParquetFile> file_;
    std::optional<std::uint64_t> first_sequence_;
    std::uint64_t last_sequence_ = 0;
};

/// What the name of a record file says.
struct FileRange {
    std::uint64_t first{};
    std::uint64_t last{};
    [[nodiscard]] bool contains(FileRange const& other) const { return first <= other.first && other.last <= last; }
};
/// From "<20 digits>-<20 digits>.parquet".
[[nodiscard]] std::optional<FileRange> range_of(std::string const& name);
[[nodiscard]] std::string file_name(FileRange range);

/// Where the closed files of a stream end, or ended before retention deleted them.
[[nodiscard]] StreamPosition position_from_files(fs::path const& stream_folder);
/// Keeps the position when the files that say it are deleted. Durable when it returns.
void write_position(fs::path const& stream_folder, StreamPosition const& position);

} // namespace undercroft::collector
