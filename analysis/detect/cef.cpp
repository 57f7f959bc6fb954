// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analysis/detect/notify.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

constexpr std::size_t most_reasons = 3;

/// In the header `|` and `\` are escaped, in the extension `=`, `\` and line breaks.
std::string escaped(std::string_view text, bool header)
{
    std::string result;
    for (char const c : text) {
        if (c == '\n' || c == '\r') {
            result += header ? " " : "\\n";
            continue;
        }
        if (c == '\\' || (header ? c == '|' : c == '='))
            result += '\\';
        result += c;
    }
    return result;
}

std::string reasons_of(Json const& about)
{
    std::string text;
    std::size_t count = 0;
    for (Json const& reason : about["reasons"]) {
        if (count++ == most_reasons)
            break;
        text += fmt::format("{}{} {:.0f}s {}", text.empty() ? "" : ", ", reason["feature"].get<std::string>(),
                            reason["window_s"].get<double>(),
                            reason["value"].is_number() ? fmt::format("{:.3g}", reason["value"].get<double>()) : "-");
    }
    return text;
}

std::int64_t ms(Json const& about, char const* name)
{
    return about[name].get<std::int64_t>() / 1'000'000;
}

} // namespace

std::string cef_of(Json const& line)
{
    Json const& about = line["undercroft"];
    double const probability = about["highest_probability"].get<double>();
    bool const ended = line["event"]["action"] == "ended";
    int const severity = ended ? 3 : std::clamp(static_cast<int>(std::lround(probability * 10)), 5, 10);
    std::string const source = fmt::format("{}:{}", about["source"].get<int>() >> 8, about["source"].get<int>() & 0xFF);
    std::string text = fmt::format("CEF:0|Undercroft|Undercroft|{}|T1486|{}|{}|", UNDERCROFT_VERSION,
                                   ended ? "Data encrypted for impact: ended" : "Data encrypted for impact", severity);
    auto const add = [&](char const* name, auto const& value) {
        text += fmt::format("{}{}={}", text.back() == '|' ? "" : " ", name, escaped(fmt::format("{}", value), false));
    };
    add("rt", ms(about, "alert_ns"));
    add("start", ms(about, "first_evidence_ns"));
    add("end", ms(about, "until_ns"));
    add("externalId", about["id"].get<std::string>());
    add("deviceExternalId", about["machine"].get<std::string>());
    add("act", line["event"]["action"].get<std::string>());
    add("cn1", std::lround(probability * 100));
    add("cn1Label", "probability in percent");
    add("cn2", about["bytes_written"].get<std::uint64_t>());
    add("cn2Label", "bytes written");
    add("cs1", reasons_of(about));
    add("cs1Label", "reasons");
    add("cs2", about["boot"].get<std::string>());
    add("cs2Label", "boot");
    add("cs3", source);
    add("cs3Label", "disk");
    add("msg", line["message"].get<std::string>());
    return text;
}

std::string syslog_message(Json const& line, std::string const& host_name)
{
    constexpr int facility = 13; // log audit
    constexpr int alert = 1;
    constexpr int notice = 5;
    int const severity = line["event"]["action"] == "ended" ? notice : alert;
    return fmt::format("<{}>1 {} {} undercroft - T1486 - {}", facility * 8 + severity,
                       line["@timestamp"].get<std::string>(), host_name.empty() ? "-" : host_name, cef_of(line));
}

} // namespace undercroft::analysis
