// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the store tells others: closed files, figures; and the thread that keeps the files in order.
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include "collector/log/log.hpp"
#include "collector/store/store.hpp"

namespace undercroft::collector {
namespace {

constexpr std::chrono::seconds upkeep_interval{60};
constexpr int upkeep_niceness = 15;

std::uint64_t age_ns(Store::Clock::rep since)
{
    if (since == 0)
        return 0;
    auto const age = Store::Clock::now().time_since_epoch() - Store::Clock::duration{since};
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::chrono::nanoseconds{age}.count()));
}

} // namespace

void Store::announce(fs::path const& path, ClosedKind kind) const
{
    if (options_.observer == nullptr)
        return;
    std::error_code gone; // compaction may have been faster
    std::uint64_t const bytes = fs::file_size(path, gone);
    if (!gone)
        options_.observer->on_closed(path.lexically_relative(options_.folder).generic_string(), bytes, kind);
}

void Store::announce_existing() const
{
    if (options_.observer == nullptr)
        return;
    // Content before the records that refer to it.
    for (ClosedKind const kind : {ClosedKind::content, ClosedKind::meta, ClosedKind::records})
        for (auto const& entry : fs::recursive_directory_iterator{options_.folder}) {
            if (!entry.is_regular_file() || entry.path().extension() == part_suffix)
                continue;
            std::string const path = entry.path().lexically_relative(options_.folder).generic_string();
            bool const parquet = path.ends_with(".parquet");
            bool const content = parquet && path.starts_with("content/");
            bool const records = parquet && path.starts_with("machine=");
            bool const meta = path.ends_with(".json");
            if ((kind == ClosedKind::content && content) || (kind == ClosedKind::records && records) ||
                (kind == ClosedKind::meta && meta))
                announce(entry.path(), kind);
        }
}

void Store::upkeep_loop()
{
    static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), upkeep_niceness));
    std::unique_lock guard{mutex_};
    while (!stopping_) {
        guard.unlock();
        try {
            upkeep_.run(std::chrono::system_clock::now());
        } catch (std::exception const& error) {
            ++totals_.errors;
            log_event(
                spdlog::level::err, "upkeep_failed",
                fmt::format("upkeep of the store: {}; tried again in {} s", error.what(), upkeep_interval.count()));
        }
        guard.lock();
        wake_.wait_for(guard, upkeep_interval, [this] { return stopping_; });
    }
}

StoreFigures Store::figures() const
{
    return {
        .rows_written = totals_.rows,
        .gap_records_written = totals_.gap_records,
        .record_files_written = totals_.record_files,
        .record_file_bytes_written = totals_.record_file_bytes,
        .content_files_written = totals_.content_files,
        .content_file_bytes_written = totals_.content_file_bytes,
        .content_blocks_stored = totals_.content_blocks_stored,
        .content_blocks_known = totals_.content_blocks_known,
        .journal_bytes_written = totals_.journal_bytes,
        .conversion_errors = totals_.errors,
        .damaged_segments = totals_.damaged_segments,
        .files_compacted = totals_.files_compacted,
        .files_deleted_by_age = totals_.files_deleted_by_age,
        .files_deleted_by_size = totals_.files_deleted_by_size,
    };
}

QueueFigures Store::queues() const
{
    QueueFigures figures;
    figures.journal_pending_bytes = journal_.pending_bytes();
    figures.commit_lag_ns = std::max(age_ns(staged_since_), age_ns(pending_since_));
    std::lock_guard const guard{mutex_};
    figures.segments_waiting = closed_.size();
    if (!closed_.empty())
        figures.conversion_lag_ns = age_ns(closed_.front().since.time_since_epoch().count());
    return figures;
}

} // namespace undercroft::collector
