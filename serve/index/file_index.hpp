// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What is kept of one record file beside the store, so that it need not be read again: planes of cells, sums for the
// features, the rows that are no accesses, and where its row groups lie in time. Written once, mapped when read; a file
// that is missing, of another version or damaged is made again.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/read/record_scan.hpp"
#include "serve/index/cells.hpp"
#include "serve/index/feature_sums.hpp"

namespace undercroft::serve {

/// The row before a row group: what a BlockCounter needs to go on from there.
struct RowBefore {
    std::uint64_t address{};
    std::uint32_t length{};
    std::uint16_t source{};
    analysis::RecordKind kind{analysis::RecordKind::gap};
    std::uint8_t padding{};

    [[nodiscard]] analysis::RecordRow row() const
    {
        return {.address = address, .length = length, .source = source, .kind = kind};
    }
    static RowBefore of(analysis::RecordRow const& row)
    {
        return {.address = row.address, .length = row.length, .source = row.source, .kind = row.kind};
    }
};

struct RowGroup {
    std::int64_t first_ns{}; ///< least and greatest time, both included
    std::int64_t last_ns{};
    std::uint64_t first_sequence{};
    std::uint64_t rows{};
    RowBefore before{};
};

/// A row that is no access; also numbers that no row of the file has, as a gap.
struct Note {
    std::int64_t time_ns{};
    std::int64_t before_ns{}; ///< time of the row before; -1: it is the file's first
    std::uint64_t address{};
    std::uint64_t length{};     ///< gap: records missing
    std::uint32_t text_first{}; ///< memory_mode: the request, in FileIndex::texts
    std::uint32_t text_bytes{};
    std::uint16_t source{};
    std::uint16_t flags{};
    analysis::RecordKind kind{};
    std::uint8_t padding[3]{};
};

/// Sums of all accesses of 2^base_time_shift ns.
struct FeatureBin {
    std::int64_t column{}; ///< time >> base_time_shift
    FeatureSums sums{};
};

struct PlaneEntry {
    PlaneKey key{};
    std::uint64_t batch{}; ///< of the file's row groups
    std::uint64_t first{}; ///< entry in the file
    std::uint64_t entries{};
    std::int64_t from_ns{}; ///< the batch's records lie in [from, to]
    std::int64_t to_ns{};
};

struct FileFacts {
    std::uint64_t rows{};
    std::int64_t first_ns{std::numeric_limits<std::int64_t>::max()};
    std::int64_t last_ns{-1};
    std::int64_t final_ns{-1};    ///< time of the last row
    std::uint64_t end_sequence{}; ///< one behind the last number that the file accounts for
    std::uint64_t first_sequence{};
    RowBefore final_row{};
};

class FileIndex {
public:
    FileFacts facts;
    std::vector<RowGroup> groups;
    std::vector<Note> notes;
    std::vector<FeatureBin> features; ///< in the order of the file's batches, columns may repeat
    std::vector<PlaneEntry> planes;
    std::vector<char> texts;
    analysis::RecordFile file;
    std::uint64_t number{}; ///< another one for each that this process opens

    FileIndex() = default;
    ~FileIndex();
    FileIndex(FileIndex const&) = delete;
    FileIndex& operator=(FileIndex const&) = delete;

    /// Adds what the planes hold of the tile. `source`: one disk only.
    void add_to(TileGrids& grids, TileShape const& shape, std::optional<std::uint16_t> source) const;
    [[nodiscard]] std::span<CellEntry const> entries(PlaneEntry const& plane) const
    {
        return cells_.subspan(plane.first, plane.entries);
    }

    /// Nothing when there is no usable index of `file` at `path`.
    [[nodiscard]] static std::shared_ptr<FileIndex> load(std::filesystem::path const& path,
                                                         analysis::RecordFile const& file);
    /// Reads the record file and writes its index to `path`. `before`: the last row of the file before it. `stopped` is
    /// asked now and then; nothing when it says so. Throws analysis::Error.
    [[nodiscard]] static std::shared_ptr<FileIndex> build(std::filesystem::path const& path,
                                                          analysis::RecordFile const& file, RowBefore const& before,
                                                          std::function<bool()> const& stopped);

private:
    void* mapping_{};
    std::size_t mapped_bytes_{};
    std::span<CellEntry const> cells_{};
};

/// The layer of an access and what it counts; count 0: not drawn.
struct Counted {
    analysis::BlockRun run{};
    float weight{1};
    Layer layer{};
    std::uint16_t source{};
    bool also_read{}; ///< memory_read_write counts as read too
};

/// Turns rows of one stream into what cells count.
class RowCounter {
public:
    explicit RowCounter(analysis::StreamName stream, RowBefore const& before) : stream_{stream}
    {
        static_cast<void>(blocks_.count(before.row()));
    }
    [[nodiscard]] Counted count(analysis::RecordRow const& row);

private:
    analysis::StreamName stream_;
    analysis::BlockCounter blocks_{analysis::CountMode::blocks};
};

/// The columns that counting needs.
inline constexpr analysis::Columns index_columns{
    .address = true, .length = true, .source = true, .entropy = true, .flags = true};

} // namespace undercroft::serve
