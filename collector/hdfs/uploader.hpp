// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies closed files to HDFS, in the order in which they were closed, in a thread of its own. While HDFS is away, slow
// or full the files wait in the store; nothing is left out and no file appears under its final name before it is
// complete.
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "collector/hdfs/spool.hpp"
#include "collector/hdfs/webhdfs.hpp"

namespace undercroft::collector {

/// Since the start, unless said otherwise.
struct HdfsFigures {
    std::uint64_t files_uploaded{};
    std::uint64_t bytes_uploaded{};
    std::uint64_t files_found{};    ///< were at HDFS already: the list of uploads had missed them
    std::uint64_t files_replaced{}; ///< deleted from HDFS because a compacted file has their rows
    std::uint64_t files_vanished{}; ///< deleted from the store before they could be uploaded
    std::uint64_t retries{};
    std::uint64_t files_waiting{};  ///< now
    std::uint64_t lag_ns{};         ///< how long the oldest of these has waited; now
    std::uint64_t failing_for_ns{}; ///< since the first of the failures in a row; 0: the last try went well
    std::string last_error;         ///< of the failing try; empty: none
};

class HdfsUploader final : public ClosedFileObserver {
public:
    /// Throws StoreError or HdfsError when the options or the list of uploads cannot be used. HDFS may be away.
    HdfsUploader(fs::path store, HdfsOptions options);
    /// Stops at once.
    ~HdfsUploader() override;
    HdfsUploader(HdfsUploader const&) = delete;
    HdfsUploader& operator=(HdfsUploader const&) = delete;

    void on_closed(std::string const& relative_path, std::uint64_t bytes, ClosedKind kind) override;
    [[nodiscard]] bool may_delete(std::string const& relative_path) override;
    void on_replaced(std::vector<std::string> const& old, std::string const& by) override;

    /// Goes on until nothing waits, but no longer than `most` altogether and `stalled` without anything uploaded; then
    /// stops. Returns how many files still wait: for the next start.
    std::size_t finish(std::chrono::milliseconds stalled, std::chrono::milliseconds most);
    [[nodiscard]] HdfsFigures figures() const;

private:
    using Clock = std::chrono::steady_clock;
    struct Job {
        std::string path;
        ClosedKind kind{};
        Clock::time_point since;
    };

    void run();
    void take_due_meta();
    [[nodiscard]] std::optional<Job> next_job(std::unique_lock<std::mutex>& guard);
    [[nodiscard]] bool try_job(Job const& job);
    void note_failure(std::string const& what);
    void upload(Job const& job);
    [[nodiscard]] std::string difference(std::string const& remote, File const& local, std::uint64_t bytes);
    void make_folder_of(std::string const& path);
    void delete_replaced(std::string const& by);
    void wait_before_retry(std::unique_lock<std::mutex>& guard);

    HdfsOptions options_;
    HdfsSpool spool_;
    std::atomic<bool> stop_{false}; ///< before hdfs_, which refers to it
    WebHdfs hdfs_;
    std::set<std::string> folders_made_; ///< of the worker

    mutable std::mutex mutex_; ///< guards what follows
    std::condition_variable wake_;
    std::condition_variable idle_;
    std::deque<Job> jobs_;
    std::map<std::string, Clock::time_point> meta_;      ///< changed JSON files, and since when
    std::map<std::string, Clock::time_point> meta_sent_; ///< last upload
    bool finishing_ = false;
    bool busy_ = false;
    HdfsFigures figures_;
    std::optional<Clock::time_point> failing_since_;
    Clock::time_point last_progress_{};
    std::chrono::milliseconds backoff_{};
    std::thread thread_;
};

} // namespace undercroft::collector
