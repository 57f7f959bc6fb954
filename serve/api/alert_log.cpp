// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/api/alert_log.hpp"

#include <algorithm>
#include <fstream>

#include "analysis/read/times.hpp"

namespace undercroft::serve {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr std::size_t most_alerts = 10'000;
constexpr std::size_t most_listed = 1'000;
constexpr std::size_t most_line_bytes = std::size_t{1} << 20;

std::vector<fs::path> day_files(fs::path const& folder)
{
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator entry{folder, error}; !error && entry != fs::directory_iterator{};
         entry.increment(error))
        if (entry->path().extension() == ".jsonl")
            files.push_back(entry->path());
    std::ranges::sort(files);
    return files;
}

std::int64_t alert_time(json const& alert)
{
    return alert["undercroft"].value("alert_ns", std::int64_t{0});
}

} // namespace

void AlertLog::take(std::string const& line)
{
    json alert = json::parse(line, nullptr, false);
    if (!alert.is_object() || !alert.contains("undercroft") || !alert["undercroft"].is_object())
        return;
    json const& ours = alert["undercroft"];
    auto const is = [&](char const* name) { return ours.contains(name) && ours[name].is_string(); };
    if (!is("id") || !is("machine") || !is("boot") || !ours.contains("alert_ns") || !ours["alert_ns"].is_number())
        return;
    std::string const id = ours["id"];
    if (alerts_.size() >= most_alerts && !alerts_.contains(id))
        alerts_.erase(
            std::ranges::min_element(alerts_, {}, [](auto const& known) { return alert_time(known.second); }));
    alerts_[id] = std::move(alert);
}

void AlertLog::read_more()
{
    for (fs::path const& path : day_files(folder_)) {
        File& file = files_[path];
        std::error_code error;
        std::uint64_t const size = fs::file_size(path, error);
        if (error || size == file.read)
            continue;
        if (size < file.read) // another file of the same name
            file.read = 0;
        std::ifstream in{path, std::ios::binary};
        in.seekg(static_cast<std::streamoff>(file.read));
        for (std::string line; std::getline(in, line) && !in.eof();) {
            file.read += line.size() + 1;
            if (line.size() <= most_line_bytes)
                take(line);
        }
    }
}

std::vector<json> AlertLog::latest(std::string const& machine, std::string const& boot)
{
    std::scoped_lock const lock{mutex_};
    read_more();
    std::vector<json> list;
    for (auto const& [id, alert] : alerts_) {
        json const& ours = alert["undercroft"];
        if ((machine.empty() || ours["machine"] == machine) && (boot.empty() || ours["boot"] == boot))
            list.push_back(alert);
    }
    std::ranges::sort(list, std::ranges::greater{}, alert_time);
    list.resize(std::min(list.size(), most_listed));
    return list;
}

Scores read_scores(fs::path const& store, std::string const& machine, std::string const& boot, std::uint16_t source,
                   std::int64_t from_ns, std::int64_t to_ns, std::size_t most)
{
    Scores scores;
    fs::path const folder =
        store / "scores" / ("machine=" + machine) / ("boot=" + boot) / ("source=" + std::to_string(source));
    std::string const first_day = analysis::format_date(from_ns);
    std::string const last_day = analysis::format_date(to_ns);
    std::int64_t const step = std::max<std::int64_t>((to_ns - from_ns) / static_cast<std::int64_t>(most), 1);
    std::int64_t current = -1;
    for (fs::path const& path : day_files(folder)) {
        if (path.stem().string() < first_day || path.stem().string() > last_day)
            continue;
        std::ifstream in{path, std::ios::binary};
        for (std::string text; std::getline(in, text) && !in.eof();) {
            json const line = json::parse(text, nullptr, false);
            if (!line.is_object())
                continue;
            if (line.contains("format")) {
                scores.made_by = line;
                continue;
            }
            std::int64_t const end = line.value("end_ns", std::int64_t{-1});
            auto const probability = line.value("p", -1.0F);
            if (end < from_ns || end >= to_ns || probability < 0)
                continue;
            auto const alarm = static_cast<std::uint8_t>(line.value("alarm", false) ? 1 : 0);
            std::int64_t const place = (end - from_ns) / step;
            if (place != current || scores.end_ns.empty()) {
                scores.end_ns.push_back(end);
                scores.probability.push_back(probability);
                scores.alarm.push_back(alarm);
            } else if (probability > scores.probability.back()) {
                scores.end_ns.back() = end;
                scores.probability.back() = probability;
                scores.alarm.back() = std::max(scores.alarm.back(), alarm);
            }
            current = place;
        }
    }
    return scores;
}

} // namespace undercroft::serve
