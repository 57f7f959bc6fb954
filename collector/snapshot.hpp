// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Every figure of a running collector at one moment, for metrics. Cheap enough for once a second from any thread.
#include <array>
#include <cstdint>
#include <vector>

#include "collector/ingest/counters.hpp"
#include "collector/ingest/identity.hpp"

namespace undercroft::collector {

/// Totals of the store since this start.
struct StoreFigures {
    std::uint64_t rows_written{};
    std::uint64_t gap_records_written{};
    std::uint64_t record_files_written{};
    std::uint64_t record_file_bytes_written{};
    std::uint64_t content_files_written{};
    std::uint64_t content_file_bytes_written{};
    std::uint64_t content_blocks_stored{};
    std::uint64_t content_blocks_known{}; ///< blocks that the store had already
    std::uint64_t journal_bytes_written{};
    std::uint64_t conversion_errors{};
    std::uint64_t damaged_segments{};
    std::uint64_t files_compacted{};       ///< small files that were merged into larger ones
    std::uint64_t files_deleted_by_age{};  ///< retention
    std::uint64_t files_deleted_by_size{}; ///< retention
};

/// What waits now, and for how long its oldest part has waited.
struct QueueFigures {
    std::uint64_t waiting_slot_bytes{};    ///< memory of incomplete and out-of-order slots
    std::uint64_t journal_pending_bytes{}; ///< appended, not durable yet
    std::uint64_t commit_lag_ns{};         ///< age of the oldest of these
    std::uint64_t segments_waiting{};      ///< closed journal segments that are not yet Parquet
    std::uint64_t conversion_lag_ns{};     ///< age of the oldest of these
    std::uint64_t sensors{};               ///< starts of sensors heard since this start
};

struct SensorFigures {
    BootKey key;
    std::uint64_t last_heard_utc_ns{};
    std::uint64_t next_sequence{}; ///< of the storage stream, in the journal or the store
    std::uint64_t next_slot{};     ///< the same
    std::uint64_t durable_slot{};  ///< slots below are acknowledged
};

struct CollectorSnapshot {
    std::array<std::uint64_t, counter_count> counters{}; ///< names: counter_infos
    StoreFigures store;
    QueueFigures queues;
    std::vector<SensorFigures> sensors;
};

class SnapshotSource {
public:
    [[nodiscard]] virtual CollectorSnapshot snapshot() const = 0;

protected:
    ~SnapshotSource() = default;
};

} // namespace undercroft::collector
