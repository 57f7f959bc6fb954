// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/store.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "collector/log/log.hpp"

namespace undercroft::collector {
namespace {

/// Segments that wait for conversion before sensors are asked to hold back.
constexpr std::size_t large_backlog = 32;
constexpr std::chrono::seconds sync_interval{1};
constexpr int conversion_niceness = 10; // receiving comes first
constexpr std::chrono::seconds retry_interval{1};
constexpr int attempts_when_stopping = 3;

/// As top and /proc show it.
template <typename Work>
std::thread named_thread(char const* name, Work work)
{
    return std::thread{[name, work] {
        ::pthread_setname_np(::pthread_self(), name);
        work();
    }};
}

} // namespace

Store::Store(StoreOptions options)
    : options_{std::move(options)}, known_{options_.content_index_bytes},
      converter_{options_.folder,
                 known_,
                 totals_,
                 std::max(1U, options_.convert_jobs),
                 [this](StreamKey const& key) { return resume(key.boot, key.stream); },
                 [this](fs::path const& path, ClosedKind kind) { announce(path, kind); }},
      journal_{options_.folder / "journal"},
      upkeep_{options_.folder, options_.upkeep, known_, totals_, options_.observer}
{
    create_directories_durably(options_.folder / "journal");
    lock();
    check_format();
    remove_parts();
    recover();
    commit_event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (commit_event_ < 0)
        throw_errno("cannot make an event for", options_.folder);
    announce_existing();
    convert_thread_ = named_thread("convert", [this] { convert_loop(); });
    commit_thread_ = named_thread("commit", [this] { commit_loop(); });
    if (upkeep_.wanted())
        upkeep_thread_ = named_thread("upkeep", [this] { upkeep_loop(); });
}

Store::~Store()
{
    stop_threads();
    ::close(commit_event_);
}

void Store::stop_threads()
{
    {
        std::lock_guard const guard{mutex_};
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread* const thread : {&commit_thread_, &convert_thread_, &upkeep_thread_})
        if (thread->joinable())
            thread->join();
}

bool Store::append(BootKey const& boot, Slot const& slot)
{
    if (journal_.pending_bytes() >= options_.pending_bytes)
        return false;
    journal_.append(boot, slot);
    Clock::rep none = 0;
    if (pending_since_.load(std::memory_order_relaxed) == none)
        pending_since_.compare_exchange_strong(none, Clock::now().time_since_epoch().count());
    segment_rows_ += slot.count;
    return true;
}

bool Store::start_commit()
{
    bool fresh = false;
    {
        std::lock_guard const guard{mutex_};
        if (commit_state_ != CommitState::idle)
            return false;
        Clock::rep const since = pending_since_.exchange(0);
        fresh = journal_.stage();
        if (fresh)
            staged_since_ = since;
        if (journal_.staged_bytes() == 0)
            return false;
        commit_state_ = CommitState::running;
    }
    wake_.notify_all();
    return fresh;
}

Store::CommitState Store::take_commit_state()
{
    std::lock_guard const guard{mutex_};
    if (commit_state_ == CommitState::idle || commit_state_ == CommitState::running)
        return commit_state_;
    std::uint64_t events = 0;
    static_cast<void>(::read(commit_event_, &events, sizeof(events)));
    error_ = commit_error_;
    failing_ = commit_state_ == CommitState::failed;
    return std::exchange(commit_state_, CommitState::idle);
}

void Store::commit_loop()
{
    std::unique_lock guard{mutex_};
    for (;;) {
        wake_.wait(guard, [this] { return stopping_ || commit_state_ == CommitState::running; });
        if (commit_state_ != CommitState::running)
            return;
        guard.unlock();
        std::string error = commit_staged();
        guard.lock();
        commit_state_ = error.empty() ? CommitState::done : CommitState::failed;
        commit_error_ = std::move(error);
        std::uint64_t const one = 1;
        static_cast<void>(::write(commit_event_, &one, sizeof(one)));
        committed_.notify_all();
    }
}

/// Empty, or why the batch is not durable.
std::string Store::commit_staged()
{
    try {
        if (!journal_.is_open()) {
            journal_.open_segment(next_segment_);
            ++next_segment_;
            segment_start_ = Clock::now();
        }
        std::size_t const bytes = journal_.staged_bytes();
        bool const sync = options_.durability == Durability::synced || Clock::now() - last_sync_ >= sync_interval;
        journal_.commit(sync);
        if (sync)
            last_sync_ = Clock::now();
        totals_.journal_bytes += bytes;
        staged_since_ = 0;
    } catch (StoreError const& error) {
        return error.what();
    }
    return {};
}

bool Store::is_committing() const
{
    std::lock_guard const guard{mutex_};
    return commit_state_ == CommitState::running;
}

bool Store::commit_running()
{
    static_cast<void>(take_commit_state());
    if (batch_failed())
        start_commit();
    {
        std::unique_lock guard{mutex_};
        committed_.wait(guard, [this] { return commit_state_ != CommitState::running; });
    }
    return take_commit_state() != CommitState::failed;
}

bool Store::commit()
{
    if (!commit_running())
        return false;
    start_commit();
    return commit_running();
}

void Store::roll_if_due(Clock::time_point now)
{
    // A batch on its way belongs to the present segment.
    if (journal_busy() || !journal_.is_open() || now < next_close_)
        return;
    if (now - segment_start_ >= options_.roll_time || segment_rows_ >= options_.roll_rows ||
        journal_.durable_bytes() >= options_.roll_bytes) {
        try {
            close_segment();
        } catch (StoreError const& error) {
            ++totals_.errors;
            next_close_ = now + retry_interval;
            log_event(spdlog::level::err, "segment_not_closed",
                      fmt::format("{}; the journal's segment stays open", error.what()));
        }
    }
}

bool Store::pending_full() const
{
    return journal_.pending_bytes() >= options_.pending_bytes / 2 || backlog_ > large_backlog;
}

/// While a commit runs, its thread owns the journal's file.
bool Store::journal_busy() const
{
    std::lock_guard const guard{mutex_};
    return commit_state_ == CommitState::running || journal_.staged_bytes() != 0;
}

void Store::close_segment()
{
    if (options_.durability == Durability::written)
        journal_.sync();
    {
        std::lock_guard const guard{mutex_};
        closed_.push_back({journal_.number(), Clock::now()});
        backlog_ = closed_.size();
    }
    journal_.close_segment();
    segment_rows_ = 0;
    wake_.notify_all();
}

StreamPosition Store::resume(BootKey const& boot, wire::Stream stream) const
{
    auto const guard = upkeep_.keep_files();
    return position_from_files(stream_folder(options_.folder, boot, stream));
}

std::size_t Store::backlog() const
{
    return backlog_;
}

void Store::convert_loop()
{
    int failures = 0;
    static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), conversion_niceness));
    std::unique_lock guard{mutex_};
    for (;;) {
        wake_.wait(guard, [this] { return stopping_ || !closed_.empty(); });
        if (closed_.empty() || (stopping_ && failures >= attempts_when_stopping))
            return;
        std::uint64_t const segment = closed_.front().number;
        guard.unlock();
        bool const done = convert_one(segment);
        guard.lock();
        if (done) {
            closed_.pop_front();
            backlog_ = closed_.size();
            failures = 0;
        } else {
            ++failures;
            wake_.wait_for(guard, retry_interval, [this] { return stopping_; });
        }
    }
}

bool Store::convert_one(std::uint64_t segment)
{
    auto const guard = upkeep_.keep_content();
    try {
        converter_.convert(segment, false);
    } catch (std::exception const& error) {
        ++totals_.errors;
        log_event(
            spdlog::level::err, "conversion_failed",
            fmt::format("cannot turn journal segment {} into Parquet: {}. Nothing is lost: it stays in the journal "
                        "and is tried again",
                        segment, error.what()));
        std::lock_guard const error_guard{mutex_};
        convert_error_ = error.what();
        return false;
    }
    return true;
}

bool Store::close()
{
    bool const committed = commit();
    if (committed && journal_.is_open())
        close_segment();
    stop_threads();
    std::lock_guard const guard{mutex_};
    if (!closed_.empty())
        error_ = convert_error_;
    return committed && closed_.empty();
}

} // namespace undercroft::collector
