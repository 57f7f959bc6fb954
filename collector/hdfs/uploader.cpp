// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/uploader.hpp"

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "collector/log/log.hpp"

namespace undercroft::collector {
namespace {

using namespace std::chrono_literals;

std::uint64_t ns_since(std::chrono::steady_clock::time_point start)
{
    auto const passed = std::chrono::steady_clock::now() - start;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(std::chrono::nanoseconds{passed}.count(), 0));
}

} // namespace

HdfsUploader::HdfsUploader(fs::path store, HdfsOptions options)
    : options_{std::move(options)}, spool_{std::move(store), options_.url}, hdfs_{options_, stop_},
      backoff_{options_.retry_first}
{
    // Cut short by a crash.
    for (Replacement const& one : spool_.replacements())
        if (spool_.has_any(one.by))
            jobs_.push_back({.path = one.by, .kind = ClosedKind::records, .since = Clock::now()});
    thread_ = std::thread{[this] { run(); }};
}

HdfsUploader::~HdfsUploader()
{
    static_cast<void>(finish(0ms, 0ms));
}

void HdfsUploader::on_closed(std::string const& relative_path, std::uint64_t, ClosedKind kind)
{
    try {
        if (spool_.has(relative_path, version_of(spool_.store() / relative_path)))
            return;
    } catch (StoreError const&) {
        return; // gone again
    }
    std::lock_guard const guard{mutex_};
    if (kind == ClosedKind::meta)
        meta_.try_emplace(relative_path, Clock::now());
    else
        jobs_.push_back({.path = relative_path, .kind = kind, .since = Clock::now()});
    wake_.notify_all();
}

bool HdfsUploader::may_delete(std::string const& relative_path)
{
    // A file whose predecessors are still at HDFS has to be there until they are gone: it is what they are deleted for.
    auto const replacements = spool_.replacements();
    return spool_.has_any(relative_path) &&
           std::ranges::none_of(replacements, [&](Replacement const& one) { return one.by == relative_path; });
}

void HdfsUploader::on_replaced(std::vector<std::string> const& old, std::string const& by)
{
    try {
        spool_.note_replaced(old, by);
    } catch (StoreError const& error) {
        log_event(spdlog::level::err, "hdfs_replacement_not_noted",
                  fmt::format("HDFS: {}: files that compaction replaced stay there, beside the one that replaces them",
                              error.what()));
        return;
    }
    if (!spool_.has_any(by))
        return; // they go when it is uploaded
    std::lock_guard const guard{mutex_};
    jobs_.push_back({.path = by, .kind = ClosedKind::records, .since = Clock::now()});
    wake_.notify_all();
}

/// Puts one JSON file whose time has come before everything else.
void HdfsUploader::take_due_meta()
{
    if (!jobs_.empty() && jobs_.front().kind == ClosedKind::meta)
        return;
    auto const now = Clock::now();
    auto const due = std::ranges::find_if(meta_, [&](auto const& entry) {
        auto const sent = meta_sent_.find(entry.first);
        return finishing_ || sent == meta_sent_.end() || now - sent->second >= options_.meta_interval;
    });
    if (due == meta_.end())
        return;
    jobs_.push_front({.path = due->first, .kind = ClosedKind::meta, .since = due->second});
    meta_.erase(due);
}

/// Null: stop.
std::optional<HdfsUploader::Job> HdfsUploader::next_job(std::unique_lock<std::mutex>& guard)
{
    for (;;) {
        if (stop_)
            return {};
        take_due_meta();
        if (!jobs_.empty())
            return jobs_.front();
        busy_ = false;
        idle_.notify_all();
        if (meta_.empty())
            wake_.wait(guard);
        else
            wake_.wait_for(guard, 1s);
        busy_ = true;
    }
}

void HdfsUploader::run()
{
    std::unique_lock guard{mutex_};
    busy_ = true;
    while (auto const job = next_job(guard)) {
        guard.unlock();
        bool const done = try_job(*job);
        guard.lock();
        if (!done) {
            wait_before_retry(guard);
            continue;
        }
        if (job->kind == ClosedKind::meta)
            meta_sent_[job->path] = Clock::now();
        jobs_.pop_front();
        last_progress_ = Clock::now();
        if (failing_since_)
            log_event(spdlog::level::info, "hdfs_works_again",
                      fmt::format("HDFS: works again after {:.1f} s, {} files wait",
                                  static_cast<double>(ns_since(*failing_since_)) / 1e9, jobs_.size()));
        failing_since_.reset();
        figures_.last_error.clear();
        backoff_ = options_.retry_first;
    }
    busy_ = false;
    idle_.notify_all();
}

bool HdfsUploader::try_job(Job const& job)
{
    try {
        upload(job);
        return true;
    } catch (StoreError const& error) {
        if (error.code() == ENOENT) {
            log_event(spdlog::level::err, "hdfs_file_vanished",
                      fmt::format("HDFS: {} was deleted before it was uploaded", job.path), {.file = job.path});
            std::lock_guard const guard{mutex_};
            ++figures_.files_vanished;
            return true;
        }
        note_failure(error.what());
    } catch (std::exception const& error) {
        note_failure(error.what());
    }
    return false;
}

void HdfsUploader::note_failure(std::string const& what)
{
    if (stop_)
        return; // broken off by us
    std::lock_guard const guard{mutex_};
    ++figures_.retries;
    folders_made_.clear(); // somebody may have deleted them
    bool const news = what != figures_.last_error;
    figures_.last_error = what;
    if (!failing_since_)
        failing_since_ = Clock::now();
    if (news)
        log_event(spdlog::level::warn, "hdfs_failing",
                  fmt::format("HDFS: {}. The files wait in the store; tried again until it works", what));
}

/// Half of the wait is random, so that many collectors do not come back at the same moment.
void HdfsUploader::wait_before_retry(std::unique_lock<std::mutex>& guard)
{
    static thread_local std::minstd_rand random{std::random_device{}()};
    auto const half = std::max<std::int64_t>(backoff_.count() / 2, 1);
    std::chrono::milliseconds const wait{half + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(half))};
    wake_.wait_for(guard, finishing_ ? std::min(wait, std::chrono::milliseconds{1'000}) : wait,
                   [this] { return stop_.load(); });
    backoff_ = std::min(backoff_ * 2, options_.retry_most);
}

std::size_t HdfsUploader::finish(std::chrono::milliseconds stalled, std::chrono::milliseconds most)
{
    {
        std::unique_lock guard{mutex_};
        finishing_ = true;
        auto const last_end = Clock::now() + most;
        last_progress_ = Clock::now();
        wake_.notify_all();
        std::uint64_t sent = hdfs_.bytes_sent();
        while (busy_ || !jobs_.empty() || !meta_.empty()) {
            if (std::uint64_t const now_sent = hdfs_.bytes_sent(); now_sent != sent && failing_since_ == std::nullopt) {
                sent = now_sent;
                last_progress_ = Clock::now();
            }
            auto const end = std::min(last_progress_ + stalled, last_end);
            if (!thread_.joinable() || Clock::now() >= end)
                break;
            idle_.wait_until(guard, std::min(end, Clock::now() + 1s));
        }
        stop_ = true;
        wake_.notify_all();
    }
    if (thread_.joinable())
        thread_.join();
    std::lock_guard const guard{mutex_};
    return jobs_.size() + meta_.size();
}

HdfsFigures HdfsUploader::figures() const
{
    std::lock_guard const guard{mutex_};
    HdfsFigures figures = figures_;
    figures.files_waiting = jobs_.size();
    if (!jobs_.empty())
        figures.lag_ns = ns_since(jobs_.front().since);
    if (failing_since_)
        figures.failing_for_ns = ns_since(*failing_since_);
    return figures;
}

} // namespace undercroft::collector
