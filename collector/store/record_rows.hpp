// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The rows of a stream as columns, and how each column is stored (docs/formats/store.md).
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arrow/api.h>

#include "collector/ingest/position.hpp"
#include "collector/store/hash_index.hpp"
#include "wire/datagram.hpp"
#include "wire/record.hpp"

namespace parquet {
class WriterProperties;
}

namespace undercroft::collector {

/// Bit of the store's flags column that no record carries: the gap was lost in transit.
inline constexpr std::uint16_t flag_lost_in_transit = 1U << 15;

/// The rows of one row group, not yet written. Columns of fixed-size values; text only as numbers into a dictionary.
class RecordRows {
public:
    explicit RecordRows(wire::Stream stream) : stream_{stream} {}

    void add(wire::Record const& record, std::uint64_t sequence, std::uint64_t slot,
             std::optional<ContentHash> const& content, std::string_view request = {});
    /// `missing` fits the length column.
    void add_gap(std::uint64_t first, std::uint32_t missing, bool in_transit, std::int64_t time_utc_ns,
                 std::uint64_t slot);
    [[nodiscard]] std::size_t size() const { return sequence_.size(); }
    /// The rows as a table of record_schema(stream); afterwards there are none. The table borrows this object's memory
    /// until the next add.
    [[nodiscard]] std::shared_ptr<arrow::Table> table();
    void clear();

private:
    [[nodiscard]] std::shared_ptr<arrow::Array> request_column() const;
    [[nodiscard]] std::shared_ptr<arrow::ChunkedArray> content_column();

    wire::Stream stream_;
    std::vector<std::uint64_t> sequence_;
    std::vector<std::int64_t> time_;
    std::vector<std::int8_t> kind_; ///< index into kind_names
    std::vector<std::uint64_t> address_;
    std::vector<std::uint32_t> length_;
    std::vector<std::uint8_t> page_class_;
    std::vector<std::pair<std::size_t, std::string>> requests_; ///< row and JSON; few rows have one
    std::vector<std::uint16_t> source_;
    std::vector<float> entropy_;
    std::vector<std::uint8_t> entropy_bits_; ///< bitmap of the rows that have it
    std::vector<std::uint16_t> flags_;
    std::vector<ContentHash> content_;
    std::vector<std::uint8_t> content_bits_;
    std::vector<std::uint64_t> slot_;
    std::int64_t with_entropy_ = 0;
    std::int64_t with_content_ = 0;
};

[[nodiscard]] std::shared_ptr<arrow::Schema> record_schema(wire::Stream stream);
/// Encodings, compression, statistics and order of record files.
[[nodiscard]] std::shared_ptr<parquet::WriterProperties> record_properties();

} // namespace undercroft::collector
