// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The store as the collector's loop sees it: slots go in, commit() makes them durable, and a thread of its
// own turns closed journal segments into Parquet.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "collector/ingest/assembly.hpp"
#include "collector/snapshot.hpp"
#include "collector/store/closed_file.hpp"
#include "collector/store/converter.hpp"
#include "collector/store/upkeep.hpp"

namespace undercroft::collector {

/// What an acknowledgement promises.
enum class Durability : std::uint8_t {
    synced,  ///< survives a power cut: the journal is synced first
    written, ///< survives the end of the collector, not that of the machine: synced once a second
};

struct StoreOptions {
    fs::path folder;
    std::chrono::milliseconds roll_time{60'000};            ///< age at which a journal segment becomes Parquet
    std::uint64_t roll_rows = std::uint64_t{4} << 20;       ///< rows at which it does
    std::uint64_t roll_bytes = std::uint64_t{256} << 20;    ///< journal bytes at which it does
    std::size_t content_index_bytes = std::size_t{1} << 30; ///< memory for the hashes of known content
    std::size_t pending_bytes = std::size_t{64} << 20;      ///< slots held in memory while the disk is slow or full
    Durability durability = Durability::synced;
    unsigned convert_jobs = 1;              ///< threads that turn one segment into Parquet
    UpkeepOptions upkeep{};                 ///< retention and compaction
    ClosedFileObserver* observer = nullptr; ///< outlives the store
};

class Store final : public SlotSink {
public:
    using Clock = std::chrono::steady_clock;

    /// Takes the lock and finishes what an earlier run left in the journal. Throws StoreError.
    explicit Store(StoreOptions options);
    ~Store();
    Store(Store const&) = delete;
    Store& operator=(Store const&) = delete;

    /// Not durable before the next commit. False while the disk refuses to take more. From any thread.
    [[nodiscard]] bool append(BootKey const& boot, Slot const& slot) override;
    /// Starts to make what was appended durable, in a thread of its own. True: a new batch was set aside.
    /// False: nothing new, but a batch that failed earlier is tried again.
    bool start_commit();
    enum class CommitState { idle, running, done, failed };
    /// How the started commit stands; done and failed are told once. After `failed`, error() says why.
    [[nodiscard]] CommitState take_commit_state();
    /// Becomes readable when a commit has ended.
    [[nodiscard]] int commit_event() const { return commit_event_; }
    /// Commits everything appended and waits for it. False: error() says why.
    [[nodiscard]] bool commit();
    /// Waits for the commit on its way, if there is one, and tries a failed one again. False: error() says why.
    [[nodiscard]] bool commit_running();
    /// A commit was started and has not ended.
    [[nodiscard]] bool is_committing() const;
    /// A batch that could not be made durable waits for another try.
    [[nodiscard]] bool batch_failed() const { return journal_.staged_bytes() != 0; }
    /// Bytes appended and not yet durable.
    [[nodiscard]] std::size_t pending_bytes() const { return journal_.pending_bytes(); }
    /// There is hardly room for more, or conversion is far behind: sensors should hold back.
    [[nodiscard]] bool pending_full() const;
    /// The last commit failed. From any thread, as are all functions below that say nothing else.
    [[nodiscard]] bool failing() const { return failing_.load(std::memory_order_relaxed); }
    /// Empty unless the last commit failed.
    [[nodiscard]] std::string const& error() const { return error_; }
    /// Starts a new segment when the present one is old or large enough.
    void roll_if_due(Clock::time_point now);

    [[nodiscard]] StreamPosition resume(BootKey const& boot, wire::Stream stream = wire::Stream::storage) const;
    /// Tells the observer, if there is one, of a file that has its final name.
    void announce(fs::path const& path, ClosedKind kind) const;
    [[nodiscard]] fs::path const& folder() const { return options_.folder; }
    [[nodiscard]] StoreTotals const& totals() const { return totals_; }
    /// Closed segments that are not yet Parquet.
    [[nodiscard]] std::size_t backlog() const;
    [[nodiscard]] StoreFigures figures() const;
    /// The store's part; memory of waiting slots and sensors are the intake's.
    [[nodiscard]] QueueFigures queues() const;

    /// Commits and converts everything. False: something stays in the journal (error() says why), for the next start.
    [[nodiscard]] bool close();

private:
    void stop_threads();
    [[nodiscard]] bool journal_busy() const;
    void lock();
    void check_format() const;
    void remove_parts() const;
    void recover();
    void close_segment();
    void commit_loop();
    [[nodiscard]] std::string commit_staged();
    void convert_loop();
    [[nodiscard]] bool convert_one(std::uint64_t segment);
    void upkeep_loop();
    void announce_existing() const;

    struct ClosedSegment {
        std::uint64_t number;
        Clock::time_point since;
    };

    StoreOptions options_;
    File lock_;
    HashIndex known_;
    StoreTotals totals_;
    Converter converter_;
    JournalWriter journal_;
    std::uint64_t next_segment_ = 1;
    std::atomic<std::uint64_t> segment_rows_{0};
    Clock::time_point segment_start_{};
    Clock::time_point next_close_{}; ///< after an attempt that failed
    Clock::time_point last_sync_{};
    std::string error_;
    std::atomic<bool> failing_{false};
    std::atomic<Clock::rep> pending_since_{0}; ///< when the first of the pending slots came; 0: none
    std::atomic<Clock::rep> staged_since_{0};  ///< the same of the batch on its way
    std::atomic<std::size_t> backlog_{0};      ///< closed_.size()
    int commit_event_ = -1;
    Upkeep upkeep_;

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable committed_;
    std::deque<ClosedSegment> closed_;             ///< guarded by mutex_
    bool stopping_ = false;                        ///< guarded by mutex_
    CommitState commit_state_ = CommitState::idle; ///< guarded by mutex_; running: the thread owns the staged batch
    std::string commit_error_;                     ///< guarded by mutex_
    std::string convert_error_;                    ///< guarded by mutex_
    std::thread convert_thread_;
    std::thread commit_thread_;
    std::thread upkeep_thread_;
};

} // namespace undercroft::collector
