// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/log/format.hpp"

#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace undercroft::collector {
namespace {

std::string utc_text(std::chrono::system_clock::time_point time)
{
    auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    std::time_t const seconds = std::chrono::system_clock::to_time_t(time);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                       utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

std::string_view name_of(spdlog::level::level_enum level)
{
    switch (level) {
    case spdlog::level::critical:
        return "critical";
    case spdlog::level::err:
        return "error";
    case spdlog::level::warn:
        return "warning";
    case spdlog::level::info:
        return "info";
    default:
        return "debug";
    }
}

/// As syslog(3) numbers them.
int priority_of(spdlog::level::level_enum level)
{
    switch (level) {
    case spdlog::level::critical:
        return 2;
    case spdlog::level::err:
        return 3;
    case spdlog::level::warn:
        return 4;
    case spdlog::level::info:
        return 6;
    default:
        return 7;
    }
}

std::string one_line(std::string_view text)
{
    std::string out;
    for (char const c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            out += c;
    return out;
}

template <typename Add>
void for_each_field(LogLine const& line, Add add)
{
    if (line.fields != nullptr) {
        if (line.fields->machine)
            add("machine", to_hex(*line.fields->machine));
        if (line.fields->boot)
            add("boot", to_hex(*line.fields->boot));
        if (!line.fields->stream.empty())
            add("stream", line.fields->stream);
        if (!line.fields->peer.empty())
            add("peer", line.fields->peer);
        if (!line.fields->file.empty())
            add("file", line.fields->file);
    }
}

std::string as_json(LogLine const& line)
{
    nlohmann::ordered_json out;
    out["time"] = utc_text(line.time);
    out["level"] = name_of(line.level);
    if (!line.event.empty())
        out["event"] = line.event;
    out["message"] = line.message;
    for_each_field(line, [&](char const* name, std::string const& value) { out[name] = value; });
    if (line.repeated != 0)
        out["repeated"] = line.repeated;
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

} // namespace

std::string format_line(LogFormat format, LogLine const& line)
{
    if (format == LogFormat::json)
        return as_json(line);
    std::string out = format == LogFormat::text ? fmt::format("{} {} ", utc_text(line.time), name_of(line.level))
                                                : fmt::format("<{}>", priority_of(line.level));
    out += one_line(line.message);
    for_each_field(
        line, [&](char const* name, std::string const& value) { out += fmt::format(" {}={}", name, one_line(value)); });
    if (line.repeated != 0)
        out += fmt::format(" ({} more like this were left out)", line.repeated);
    return out + "\n";
}

} // namespace undercroft::collector
