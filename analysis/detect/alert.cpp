// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/alert.hpp"

#include <array>
#include <chrono>
#include <cmath>

#include <fmt/format.h>
#include <openssl/sha.h>

#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 3> actions{"raised", "continued", "ended"};

Json reasons_json(std::vector<Reason> const& reasons)
{
    Json list = Json::array();
    for (Reason const& reason : reasons)
        list.push_back({{"feature", reason.feature},
                        {"window_s", static_cast<double>(reason.window_ns) / 1e9},
                        {"value", std::isnan(reason.value) ? Json() : Json(reason.value)},
                        {"log_odds", reason.log_odds}});
    return list;
}

Json extents_json(Places const& places)
{
    Json list = Json::array();
    for (Place const& place : places.largest)
        list.push_back({{"lba", place.first_lba},
                        {"sectors", place.end_lba - place.first_lba},
                        {"writes", place.writes},
                        {"bytes", place.bytes}});
    return list;
}

std::string message_of(DiskName const& disk, EpisodeChange change, Episode const& episode)
{
    std::string const what = change == EpisodeChange::ended ? "No more signs of ransomware" : "Signs of ransomware";
    return fmt::format("{} on disk {} of machine {}: probability {:.0f} %, {} MiB written since {}", what, disk.disk(),
                       disk.machine.substr(0, 8), 100 * episode.highest, episode.places.bytes >> 20,
                       format_time(episode.first_evidence_ns, 3));
}

/// What the line is made of besides the alert itself.
Json envelope(std::string const& action, std::int64_t now_ns)
{
    return {{"@timestamp", rfc3339(now_ns)},
            {"ecs", {{"version", "8.11.0"}}},
            {"event",
             {{"kind", "alert"},
              {"category", Json::array({"malware"})},
              {"type", Json::array({"info"})},
              {"module", "undercroft"},
              {"dataset", "undercroft.alerts"},
              {"provider", "undercroft"},
              {"action", action}}},
            {"threat",
             {{"technique", {{"id", Json::array({"T1486"})}, {"name", Json::array({"Data Encrypted for Impact"})}}}}}};
}

Json kept(Json const& earlier, char const* name, Json otherwise)
{
    return earlier.is_object() ? earlier.at("undercroft").value(name, std::move(otherwise)) : otherwise;
}

} // namespace

std::string DiskName::disk() const
{
    return fmt::format("{}:{}", source >> 8, source & 0xFF);
}

std::string alert_id(DiskName const& disk, std::int64_t first_evidence_ns)
{
    std::string const text = fmt::format("{} {} {} {}", disk.machine, disk.boot, disk.source, first_evidence_ns);
    std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
    SHA256(reinterpret_cast<unsigned char const*>(text.data()), text.size(), hash.data());
    std::string id;
    for (std::size_t i = 0; i < 8; ++i)
        id += fmt::format("{:02x}", hash[i]);
    return id;
}

Json alert_line(DiskName const& disk, ModelFile const& file, Model const& model, EpisodeChange change,
                Episode const& episode, std::int64_t now_ns, Json const& earlier)
{
    Json line = envelope(std::string{actions[static_cast<std::size_t>(change)]}, now_ns);
    std::string const id = earlier.is_object() ? earlier.at("undercroft").at("id").get<std::string>()
                                               : alert_id(disk, episode.first_evidence_ns);
    Json const acknowledged = kept(earlier, "acknowledged", Json());
    std::string const state = change == EpisodeChange::ended ? "ended"
                              : acknowledged.is_null()       ? "open"
                                                             : "acknowledged";
    line["event"]["id"] = id;
    line["event"]["start"] = rfc3339(episode.first_evidence_ns);
    line["event"]["end"] = rfc3339(episode.until_ns);
    line["event"]["risk_score"] = 100 * episode.highest;
    line["event"]["severity"] = std::max(1, static_cast<int>(std::lround(100 * episode.highest)));
    line["host"] = {{"id", disk.machine}};
    line["message"] = message_of(disk, change, episode);
    line["undercroft"] = {
        {"format", 1},
        {"id", id},
        {"state", state},
        {"machine", disk.machine},
        {"boot", disk.boot},
        {"source", disk.source},
        {"first_evidence_ns", episode.first_evidence_ns},
        {"alert_ns", episode.alert_ns},
        {"until_ns", episode.until_ns},
        {"raised_ns", kept(earlier, "raised_ns", now_ns)},
        {"probability", episode.probability},
        {"highest_probability", episode.highest},
        {"threshold", model.threshold},
        {"windows", episode.windows},
        {"model",
         {{"name", file.name},
          {"kind", to_string(model.kind)},
          {"track", model.track},
          {"trained_on", model.trained_on}}},
        {"reasons", reasons_json(episode.reasons)},
        {"extents", extents_json(episode.places)},
        {"extents_left_out", episode.places.left_out},
        {"bytes_written", episode.places.bytes},
        {"pictures", kept(earlier, "pictures", Json())},
        {"response", kept(earlier, "response", Json())},
        {"acknowledged", acknowledged},
    };
    return line;
}

Json acknowledged_line(Json const& earlier, std::string const& by, std::string const& note, std::int64_t now_ns)
{
    Json line = earlier;
    line["@timestamp"] = rfc3339(now_ns);
    line["event"]["action"] = "acknowledged";
    Json& about = line["undercroft"];
    if (about["state"] == "open")
        about["state"] = "acknowledged";
    about["acknowledged"] = {{"by", by}, {"note", note}, {"at_ns", now_ns}};
    return line;
}

bool is_alert_line(Json const& line)
{
    if (!line.is_object() || !line.contains("undercroft") || !line["undercroft"].is_object() ||
        !line.contains("event") || !line["event"].is_object())
        return false;
    Json const& about = line["undercroft"];
    auto const text = [&](char const* name) { return about.contains(name) && about[name].is_string(); };
    auto const whole = [&](char const* name) { return about.contains(name) && about[name].is_number_integer(); };
    return text("id") && text("state") && text("machine") && text("boot") && whole("source") &&
           whole("first_evidence_ns") && whole("alert_ns") && whole("until_ns");
}

std::string rfc3339(std::int64_t time_ns)
{
    std::string text = format_time(time_ns, 3) + "Z";
    text[text.find(' ')] = 'T';
    return text;
}

std::int64_t utc_now_ns()
{
    return std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count();
}

} // namespace undercroft::analysis
