// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/metrics/collector_metrics.hpp"

#include <fmt/format.h>

namespace undercroft::collector {
namespace {

struct StoreMetric {
    char const* name;
    std::uint64_t StoreFigures::* value;
    char const* help;
};
constexpr std::array store_metrics{
    StoreMetric{"rows_written", &StoreFigures::rows_written, "rows written to Parquet files, gap records included"},
    StoreMetric{"gap_records_written", &StoreFigures::gap_records_written, "of these, gap records"},
    StoreMetric{"record_files_written", &StoreFigures::record_files_written, "Parquet files of records"},
    StoreMetric{"record_file_bytes_written", &StoreFigures::record_file_bytes_written, "bytes of these"},
    StoreMetric{"content_files_written", &StoreFigures::content_files_written, "Parquet files of content blocks"},
    StoreMetric{"content_file_bytes_written", &StoreFigures::content_file_bytes_written, "bytes of these"},
    StoreMetric{"content_blocks_stored", &StoreFigures::content_blocks_stored, "content blocks stored"},
    StoreMetric{"content_blocks_known", &StoreFigures::content_blocks_known, "content blocks that the store had"},
    StoreMetric{"journal_bytes_written", &StoreFigures::journal_bytes_written, "bytes written to the journal"},
    StoreMetric{"conversion_errors", &StoreFigures::conversion_errors, "failed attempts to make Parquet of a segment"},
    StoreMetric{"damaged_segments", &StoreFigures::damaged_segments, "journal segments set aside as damaged"},
    StoreMetric{"files_compacted", &StoreFigures::files_compacted, "small files merged into larger ones"},
    StoreMetric{"files_deleted_by_age", &StoreFigures::files_deleted_by_age, "files deleted because of their age"},
    StoreMetric{"files_deleted_by_size", &StoreFigures::files_deleted_by_size, "files deleted to keep the store small"},
};

constexpr double ns_per_s = 1e9;

using LatestStarts = std::map<Id, SensorFigures const*>;

void write_queues(Exposition& out, QueueFigures const& queues)
{
    auto const gauge = [&](char const* name, auto value, char const* help) {
        out.metric(name, MetricType::gauge, help);
        out.sample(value);
    };
    gauge("undercroft_queue_waiting_slot_bytes", queues.waiting_slot_bytes,
          "memory of slots that are incomplete or out of order");
    gauge("undercroft_queue_journal_pending_bytes", queues.journal_pending_bytes, "appended and not durable yet");
    gauge("undercroft_queue_segments_waiting", queues.segments_waiting,
          "closed journal segments that are not yet Parquet");
    gauge("undercroft_commit_lag_seconds", static_cast<double>(queues.commit_lag_ns) / ns_per_s,
          "age of the oldest bytes that are not durable yet");
    gauge("undercroft_conversion_lag_seconds", static_cast<double>(queues.conversion_lag_ns) / ns_per_s,
          "age of the oldest segment that is not yet Parquet");
    gauge("undercroft_sensor_starts", queues.sensors, "starts of sensors heard since the collector's start");
}

void write_sensors(Exposition& out, LatestStarts const& latest)
{
    auto const gauge = [&](char const* name, char const* help, auto value_of) {
        out.metric(name, MetricType::gauge, help);
        for (auto const& [machine, sensor] : latest)
            out.sample(value_of(*sensor), {{"machine", to_hex(machine)}});
    };
    gauge("undercroft_sensor_last_heard_timestamp_seconds", "when an authentic datagram came last",
          [](SensorFigures const& s) { return static_cast<double>(s.last_heard_utc_ns) / ns_per_s; });
    gauge("undercroft_sensor_next_sequence",
          "records of the present start that the journal or the store has, or that "
          "are known to be missing",
          [](SensorFigures const& s) { return s.next_sequence; });
    gauge("undercroft_sensor_undurable_slots", "slots received in order and not acknowledged yet",
          [](SensorFigures const& s) { return s.next_slot > s.durable_slot ? s.next_slot - s.durable_slot : 0; });
}

} // namespace

LatestStarts latest_starts(CollectorSnapshot const& snapshot)
{
    LatestStarts latest;
    for (SensorFigures const& sensor : snapshot.sensors) {
        auto& known = latest[sensor.key.machine];
        if (known == nullptr || known->last_heard_utc_ns <= sensor.last_heard_utc_ns)
            known = &sensor;
    }
    return latest;
}

void write_snapshot(Exposition& out, CollectorSnapshot const& snapshot)
{
    for (std::size_t i = 0; i < counter_count; ++i) {
        out.metric(fmt::format("undercroft_collector_{}_total", counter_infos[i].name), MetricType::counter,
                   counter_infos[i].text);
        out.sample(snapshot.counters[i]);
    }
    for (StoreMetric const& metric : store_metrics) {
        out.metric(fmt::format("undercroft_store_{}_total", metric.name), MetricType::counter, metric.help);
        out.sample(snapshot.store.*metric.value);
    }
    write_queues(out, snapshot.queues);
    write_sensors(out, latest_starts(snapshot));
}

void write_build_info(Exposition& out, std::string_view version, double start_utc_s)
{
    out.metric("undercroft_build_info", MetricType::gauge, "1; the label says what runs");
    out.sample(std::uint64_t{1}, {{"version", version}});
    out.metric("undercroft_start_time_seconds", MetricType::gauge, "when the collector was started");
    out.sample(start_utc_s);
}

} // namespace undercroft::collector
