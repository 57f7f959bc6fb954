// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/guard.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "analysis/heatmap/recent.hpp"
#include "analysis/heatmap/render.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr std::int64_t minute_ns = 60'000'000'000;
constexpr std::size_t most_recent = std::size_t{1} << 18; // 8 MiB for each disk
constexpr std::size_t most_disks = 1024;
/// A disk that is silent for so long has no windows left; its boot is probably over.
constexpr auto forget_after = 1h;
/// Records may be under way for this long before a disk counts as silent.
constexpr std::int64_t under_way_ns = 500'000'000;
constexpr PictureSize picture_size{.width = 960, .height = 540};

/// Whether an alert's latest line says all that the change does.
bool was_told(Json const& line, EpisodeChange change, Episode const& episode)
{
    if (line.is_null())
        return false;
    Json const& about = line["undercroft"];
    bool const until = about["until_ns"].get<std::int64_t>() >= episode.until_ns;
    return until && (change != EpisodeChange::ended || about["state"] == "ended");
}

} // namespace

/// What there is of one disk.
class Guard::Disk final : public DetectorSink {
public:
    Disk(Guard& guard, DiskName name, Model const& model)
        : guard_{guard}, name_{std::move(name)}, scores_{guard.options_.store, name_, guard.models_, model},
          detector_{model, guard.options_.detector, *this}
    {
        if (!guard.options_.write)
            return;
        guard.options_.live ? scores_.go_on() : scores_.start_over();
    }

    void push(Access const& access)
    {
        detector_.push(access);
        arrived_ = Clock::now();
        latest_ns_ = std::max(latest_ns_, access.time_ns);
        recent_.push_back(access);
        while (recent_.size() > most_recent || recent_.front().time_ns < latest_ns_ - minute_ns)
            recent_.pop_front();
    }

    /// By the disk's own clock, as far as it can be told: the last time seen and what went by since.
    void pass_time(Clock::time_point now)
    {
        std::int64_t const silent_ns = std::chrono::nanoseconds{now - arrived_}.count() - under_way_ns;
        if (silent_ns > 0)
            detector_.advance_to(latest_ns_ + silent_ns);
    }

    void score(WindowScore const& score) override
    {
        if (score.end_ns < guard_.options_.only_from_ns)
            return;
        ++guard_.counters_.windows;
        ++windows_;
        highest_ = std::max(highest_, score.probability);
        if (guard_.options_.write)
            scores_.add(score);
    }
    void episode(EpisodeChange change, Episode const& episode) override { guard_.episode(*this, change, episode); }

    [[nodiscard]] DiskName const& name() const { return name_; }
    [[nodiscard]] Model const& model() const { return detector_.model(); }
    [[nodiscard]] bool forgotten(Clock::time_point now) const { return now - arrived_ > forget_after; }
    [[nodiscard]] double highest() const { return highest_; }
    [[nodiscard]] std::uint64_t windows() const { return windows_; }
    [[nodiscard]] std::deque<Access> const& recent() const { return recent_; }
    void flush() { scores_.flush(); }
    void finish() { detector_.finish(); }

    Json line; ///< the latest of the alert that is open; null: none

private:
    Guard& guard_;
    DiskName name_;
    ScoreLog scores_;
    DiskDetector detector_;
    std::deque<Access> recent_; ///< of the last minute
    std::int64_t latest_ns_ = 0;
    Clock::time_point arrived_ = Clock::now();
    double highest_ = 0;
    std::uint64_t windows_ = 0;
};

Guard::Guard(ModelFile const& models, GuardOptions options, GuardActions actions, Say say)
    : models_{models}, options_{std::move(options)}, actions_{std::move(actions)}, say_{std::move(say)},
      log_{options_.store}
{
    if (options_.write)
        log_.refresh();
}

Guard::~Guard() = default;

Guard::Disk& Guard::disk_of(DiskName const& name, bool has_writes)
{
    if (auto const found = disks_.find(name); found != disks_.end())
        return *found->second;
    if (disks_.size() >= most_disks)
        throw Error{fmt::format("more than {} disks at once: detection stops", most_disks)};
    return *disks_.emplace(name, std::make_unique<Disk>(*this, name, models_.for_trace(has_writes))).first->second;
}

void Guard::access(DiskName const& disk, Access const& access, bool has_writes)
{
    ++counters_.accesses;
    disk_of(disk, has_writes).push(access);
}

void Guard::guarded(std::function<void()> const& work)
{
    try {
        work();
    } catch (std::exception const& error) {
        ++counters_.errors;
        say_(fmt::format("error: {}", error.what()));
    }
}

void Guard::tick()
{
    auto const now = Clock::now();
    for (auto& [name, disk] : disks_) {
        disk->pass_time(now);
        guarded([&] { disk->flush(); });
    }
    std::erase_if(disks_, [&](auto const& entry) { return entry.second->forgotten(now); });
    responses_.collect();
}

void Guard::finish()
{
    for (auto& [name, disk] : disks_) {
        disk->finish();
        guarded([&] { disk->flush(); });
    }
    responses_.finish();
    notices_.finish();
}

void Guard::episode(Disk& disk, EpisodeChange change, Episode const& episode)
{
    if (episode.until_ns < options_.only_from_ns)
        return;
    if (change == EpisodeChange::raised && options_.write) {
        log_.refresh();
        disk.line = log_.covering(disk.name(), episode.first_evidence_ns, episode.alert_ns, options_.detector.quiet_ns);
    } else if (options_.write && !disk.line.is_null()) {
        log_.refresh(); // somebody may have acknowledged it
        if (Json const latest = log_.find(disk.line["undercroft"]["id"]); !latest.is_null())
            disk.line = latest;
    }
    bool const known = change == EpisodeChange::raised && !disk.line.is_null();
    if (was_told(disk.line, change, episode)) {
        raised_[disk.line["undercroft"]["id"]] = disk.line;
        return; // judged before
    }
    Json line = alert_line(disk.name(), models_, disk.model(), known ? EpisodeChange::continued : change, episode,
                           utc_now_ns(), disk.line);
    write_line(disk, std::move(line));
    if (change == EpisodeChange::raised && !known) {
        ++counters_.raised;
        act(disk);
        draw_pictures(disk, episode);
    }
    if (change == EpisodeChange::ended) {
        notify(disk.line);
        disk.line = Json();
    }
}

void Guard::notify(Json const& line)
{
    if (actions_.notify && !notices_.send([tell = actions_.notify, line]() -> Errands::Result {
            tell(line);
            return {};
        }))
        guarded([] { throw Error{"too many notices wait: one was not sent"}; });
}

void Guard::write_line(Disk& disk, Json line)
{
    disk.line = std::move(line);
    raised_[disk.line["undercroft"]["id"]] = disk.line;
    if (disk.line["event"]["action"] != "continued")
        say_(fmt::format("{} ({})", disk.line["message"].get<std::string>(),
                         disk.line["undercroft"]["id"].get<std::string>()));
    if (options_.write)
        guarded([&] { log_.append(disk.line); });
}

void Guard::act(Disk& disk)
{
    notify(disk.line);
    if (!actions_.respond)
        return;
    std::string const id = disk.line["undercroft"]["id"];
    auto const done = [this, id, name = disk.name()](Json const& response) {
        auto const found = disks_.find(name);
        if (response.is_null() || found == disks_.end() || found->second->line.is_null() ||
            found->second->line["undercroft"]["id"] != id)
            return;
        Json line = found->second->line;
        line["@timestamp"] = rfc3339(utc_now_ns());
        line["event"]["action"] = "continued";
        line["undercroft"]["response"] = response;
        say_(fmt::format("response to {}: {}: {}", id, response.value("policy", ""), response.value("result", "")));
        write_line(*found->second, std::move(line));
    };
    bool const sent = responses_.send([respond = actions_.respond, name = disk.name(), done]() -> Errands::Result {
        Json const response = respond(name);
        return [done, response] { done(response); };
    });
    if (!sent)
        guarded([] { throw Error{"too many alerts wait for their response: one gets none"}; });
}

void Guard::draw_pictures(Disk& disk, Episode const& episode)
{
    if (!options_.write || !options_.pictures)
        return;
    guarded([&] {
        HeatmapRequest request;
        request.source = disk.name().source;
        PictureSize const plot = plot_area(picture_size);
        request.max_columns = static_cast<std::uint32_t>(plot.width / 4);
        request.max_rows = static_cast<std::uint32_t>(plot.height / 4);
        std::vector<Access> const accesses{disk.recent().begin(), disk.recent().end()};
        Heatmap const map = make_recent_heatmap(accesses, episode.alert_ns - minute_ns, episode.alert_ns, request);
        Boot const boot{.machine = disk.name().machine, .id = disk.name().boot, .folder = {}};
        RenderOptions const render{.size = picture_size};
        std::string const id = disk.line["undercroft"]["id"];
        Json names = Json::object();
        for (auto const& [kind, member] : {std::pair{MapKind::read, "read"}, std::pair{MapKind::write, "write"},
                                           std::pair{MapKind::write_entropy, "write_entropy"}}) {
            std::string const name = fmt::format("{}-{}.png", id, to_string(kind));
            draw(make_picture(boot, request, map, kind, render), render.size, render.format, log_.folder() / name);
            names[member] = name;
        }
        Json line = disk.line;
        line["@timestamp"] = rfc3339(utc_now_ns());
        line["event"]["action"] = "continued";
        line["undercroft"]["pictures"] = names;
        write_line(disk, std::move(line));
    });
}

std::vector<Json> Guard::alerts() const
{
    std::vector<Json> lines;
    for (auto const& [id, line] : raised_)
        lines.push_back(line);
    std::ranges::sort(lines, {}, [](Json const& line) {
        return std::pair{line["undercroft"]["first_evidence_ns"].get<std::int64_t>(),
                         line["undercroft"]["id"].get<std::string>()};
    });
    return lines;
}

double Guard::highest(DiskName const& disk) const
{
    auto const found = disks_.find(disk);
    return found == disks_.end() ? 0 : found->second->highest();
}

std::uint64_t Guard::windows(DiskName const& disk) const
{
    auto const found = disks_.find(disk);
    return found == disks_.end() ? 0 : found->second->windows();
}

} // namespace undercroft::analysis
