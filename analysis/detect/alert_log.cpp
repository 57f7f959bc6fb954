// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/alert_log.hpp"

#include <algorithm>

#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

std::int64_t number(Json const& line, char const* name)
{
    return line["undercroft"][name].get<std::int64_t>();
}

} // namespace

void AlertLog::refresh()
{
    follower_.read([this](Json const& line) {
        if (is_alert_line(line))
            latest_[line["undercroft"]["id"].get<std::string>()] = line;
    });
}

Json AlertLog::find(std::string const& id) const
{
    auto const found = latest_.find(id);
    return found == latest_.end() ? Json() : found->second;
}

Json AlertLog::covering(DiskName const& disk, std::int64_t from_ns, std::int64_t until_ns, std::int64_t quiet_ns) const
{
    for (auto const& [id, line] : latest_) {
        Json const& about = line["undercroft"];
        if (about["machine"] == disk.machine && about["boot"] == disk.boot && about["source"] == disk.source &&
            number(line, "first_evidence_ns") <= until_ns && number(line, "until_ns") + quiet_ns >= from_ns)
            return line;
    }
    return {};
}

std::vector<Json> AlertLog::all() const
{
    std::vector<Json> lines;
    for (auto const& [id, line] : latest_)
        lines.push_back(line);
    std::ranges::sort(lines, {}, [](Json const& line) {
        return std::pair{number(line, "first_evidence_ns"), line["undercroft"]["id"].get<std::string>()};
    });
    return lines;
}

void AlertLog::append(Json const& line)
{
    append_line(folder_ / (format_date(utc_now_ns()) + ".jsonl"), line, true);
    refresh();
}

} // namespace undercroft::analysis
