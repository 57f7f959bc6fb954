// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Judges all disks of a store, and writes down what it finds (docs/formats/alerts.md).
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/detect/alert_log.hpp"
#include "analysis/detect/errands.hpp"
#include "analysis/detect/score_log.hpp"

namespace undercroft::analysis {

/// What is done about an alert besides writing it down. Both may take their time: each runs in a thread of its own.
struct GuardActions {
    /// Told of `raised` and `ended` lines. Empty: nobody.
    std::function<void(nlohmann::json const& line)> notify;
    /// Called once for each alert that is raised; gives what goes into `undercroft.response`. Empty: nothing is done.
    std::function<nlohmann::json(DiskName const& disk)> respond;
};

struct GuardOptions {
    std::filesystem::path store;
    DetectorOptions detector;
    bool live{};                   ///< go on with scores and alerts that are there; otherwise scores are made anew
    bool write = true;             ///< into the store
    bool pictures = true;          ///< with `write`
    std::int64_t only_from_ns = 0; ///< what ends before is context: neither scores nor alerts are made of it
};

struct GuardCounters {
    std::uint64_t accesses{};
    std::uint64_t windows{};
    std::uint64_t raised{};
    std::uint64_t errors{}; ///< something could not be written or done; the log says what
};

class Guard {
public:
    using Say = std::function<void(std::string const&)>;

    /// `models` outlives this. `say` gets a line for people now and then: alerts and errors.
    Guard(ModelFile const& models, GuardOptions options, GuardActions actions, Say say);
    ~Guard();
    Guard(Guard const&) = delete;
    Guard& operator=(Guard const&) = delete;

    /// In the order of the stream. `has_writes`: whether the source of a disk that is seen for the first time has them.
    void access(DiskName const& disk, Access const& access, bool has_writes = true);
    /// Live: windows of disks that are silent close as time goes by; scores are written. At least once a second.
    void tick();
    /// There is no more to come. Waits for what is under way.
    void finish();
    [[nodiscard]] GuardCounters const& counters() const { return counters_; }
    /// Latest lines of alerts raised by this guard, by first evidence.
    [[nodiscard]] std::vector<nlohmann::json> alerts() const;
    /// Of a disk's windows: the highest probability; how many there were.
    [[nodiscard]] double highest(DiskName const& disk) const;
    [[nodiscard]] std::uint64_t windows(DiskName const& disk) const;

private:
    using Clock = std::chrono::steady_clock;
    class Disk;

    Disk& disk_of(DiskName const& name, bool has_writes);
    void episode(Disk& disk, EpisodeChange change, Episode const& episode);
    void write_line(Disk& disk, nlohmann::json line);
    void draw_pictures(Disk& disk, Episode const& episode);
    void act(Disk& disk);
    void notify(nlohmann::json const& line);
    void guarded(std::function<void()> const& work);

    ModelFile const& models_;
    GuardOptions options_;
    GuardActions actions_;
    Say say_;
    AlertLog log_;
    std::map<DiskName, std::unique_ptr<Disk>> disks_;
    std::map<std::string, nlohmann::json> raised_; ///< by id
    GuardCounters counters_;
    Errands responses_;
    Errands notices_; ///< a server that does not answer must not keep a response waiting
};

} // namespace undercroft::analysis
