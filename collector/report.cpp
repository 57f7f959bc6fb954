// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/report.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "collector/hdfs/uploader.hpp"

namespace undercroft::collector {
namespace {

constexpr std::uint64_t refusals_before_hint = 5;
constexpr std::chrono::seconds hint_interval{60};

std::uint64_t value_of(CounterValues const& counters, Counter id)
{
    return counters[static_cast<std::size_t>(id)];
}

std::uint64_t rejects(CounterValues const& counters)
{
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counter_count; ++i)
        if (counter_infos[i].reject)
            sum += counters.at(i);
    return sum;
}

char const* hint_for(Counter why)
{
    switch (why) {
    case Counter::bad_tag:
        return "do not verify: is the key the same as in undercroft.conf?";
    case Counter::wrong_version:
        return "are of another protocol version: sensor and collector must be of the same release";
    case Counter::machine_without_key:
        return "are from a machine that is not in the key file";
    case Counter::machine_not_wanted:
        return "are from a machine that --machine leaves out";
    case Counter::stream_unsupported:
        return "are of a stream that this collector does not store";
    case Counter::slots_refused:
    case Counter::data_malformed:
    case Counter::hello_malformed:
    case Counter::status_malformed:
        return "verify but have bad fields: sensor and collector must be of the same release";
    default:
        return nullptr;
    }
}

} // namespace

std::string ProgressLine::make(CounterValues const& counters, std::size_t backlog, double seconds)
{
    std::uint64_t const records = value_of(counters, Counter::records_stored);
    std::uint64_t const bytes = value_of(counters, Counter::bytes_received);
    std::string line =
        fmt::format("{:.0f} records/s  {:.2f} MB/s  {} records  {} gaps ({} missing)  {} rejected",
                    static_cast<double>(records - records_) / seconds,
                    static_cast<double>(bytes - bytes_) / seconds / 1e6, records, value_of(counters, Counter::gaps),
                    value_of(counters, Counter::records_missing_at_sensor) +
                        value_of(counters, Counter::records_missing_in_transit),
                    rejects(counters));
    if (backlog > 0)
        line += fmt::format("  {} segments waiting", backlog);
    records_ = records;
    bytes_ = bytes;
    return line;
}

std::string totals_text(CounterValues const& counters, StoreTotals const& totals)
{
    std::string text = fmt::format(
        "received {} datagrams, {} bytes\n"
        "stored {} records in {} slots; {} rows written to {} Parquet files, {} content blocks ({} known already)\n"
        "gaps {}: {} records missing at the sensor, {} in transit\n"
        "duplicates {} fragments\n",
        value_of(counters, Counter::datagrams_received), value_of(counters, Counter::bytes_received),
        value_of(counters, Counter::records_stored), value_of(counters, Counter::slots_stored), totals.rows.load(),
        totals.record_files.load(), totals.content_blocks_stored.load(), totals.content_blocks_known.load(),
        value_of(counters, Counter::gaps), value_of(counters, Counter::records_missing_at_sensor),
        value_of(counters, Counter::records_missing_in_transit), value_of(counters, Counter::fragments_duplicate));
    text += fmt::format("rejected {}\n", rejects(counters));
    for (std::size_t i = 0; i < counter_count; ++i)
        if (counter_infos[i].reject && counters.at(i) != 0)
            text += fmt::format("  {} {} ({})\n", counter_infos[i].name, counters.at(i), counter_infos[i].text);
    return text;
}

std::string metrics_json(CounterValues const& counters, StoreTotals const& totals, std::size_t backlog,
                         HdfsUploader const* hdfs)
{
    nlohmann::ordered_json document;
    for (std::size_t i = 0; i < counter_count; ++i)
        document[std::string{counter_infos[i].name}] = counters.at(i);
    document["rows_written"] = totals.rows.load();
    document["record_files_written"] = totals.record_files.load();
    document["content_blocks_stored"] = totals.content_blocks_stored.load();
    document["content_blocks_known"] = totals.content_blocks_known.load();
    document["conversion_errors"] = totals.errors.load();
    document["damaged_segments"] = totals.damaged_segments.load();
    document["segments_waiting"] = backlog;
    if (hdfs != nullptr) {
        HdfsFigures const figures = hdfs->figures();
        document["hdfs_files_uploaded"] = figures.files_uploaded;
        document["hdfs_bytes_uploaded"] = figures.bytes_uploaded;
        document["hdfs_files_found"] = figures.files_found;
        document["hdfs_files_replaced"] = figures.files_replaced;
        document["hdfs_files_vanished"] = figures.files_vanished;
        document["hdfs_retries"] = figures.retries;
        document["hdfs_files_waiting"] = figures.files_waiting;
        document["hdfs_lag_ns"] = figures.lag_ns;
        document["hdfs_failing_for_ns"] = figures.failing_for_ns;
    }
    return document.dump(2) + "\n";
}

std::string RefusedSenders::note(Peer const& from, Counter why, std::chrono::steady_clock::time_point now)
{
    char const* const hint = hint_for(why);
    if (hint == nullptr)
        return {};
    auto found = std::ranges::find_if(senders_, [&](Sender const& s) { return s.why == why && s.peer == from; });
    if (found == senders_.end()) {
        found = senders_.begin() + static_cast<std::ptrdiff_t>(next_);
        next_ = (next_ + 1) % senders_.size();
        *found = Sender{from, why, 0, {}};
    }
    ++found->count;
    bool const first = found->count == refusals_before_hint;
    if (!first && (found->count < refusals_before_hint || now - found->told < hint_interval))
        return {};
    found->told = now;
    return fmt::format("{} datagrams from {} {}", found->count, from.text(), hint);
}

} // namespace undercroft::collector
