// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "ucctl/report.hpp"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>

#include "wire/counters.hpp"

#ifndef UNDERCROFT_VERSION
#error "UNDERCROFT_VERSION is the project's version, given by the build"
#endif

namespace undercroft::ucctl {
namespace {

// ordered: people read JSON too
using Json = nlohmann::ordered_json;

std::string hex(std::span<std::uint8_t const> bytes)
{
    std::string text;
    for (std::uint8_t const byte : bytes) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

template <std::size_t N>
std::string padded(char const (&field)[N])
{
    return {field, std::find(field, field + N, '\0')};
}

std::string ip(std::uint8_t const (&address)[4])
{
    std::ostringstream text;
    text << +address[0] << '.' << +address[1] << '.' << +address[2] << '.' << +address[3];
    return text.str();
}

/// ISO 8601, microseconds.
std::string utc(std::uint64_t ns)
{
    auto const seconds = static_cast<std::time_t>(ns / 1'000'000'000);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[64];
    std::size_t const size = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    std::string const micro = std::to_string(ns / 1000 % 1'000'000);
    return std::string(text, size) + '.' + std::string(6 - micro.size(), '0') + micro + 'Z';
}

std::string duration(std::uint64_t ns)
{
    std::uint64_t const s = ns / 1'000'000'000;
    std::ostringstream text;
    if (s >= 86400)
        text << s / 86400 << " d ";
    if (s >= 3600)
        text << s / 3600 % 24 << " h ";
    if (s >= 60)
        text << s / 60 % 60 << " min ";
    text << s % 60 << " s";
    return text.str();
}

char const* mode_name(wire::ControlStatus const& s)
{
    return s.capture_mode.get() == 0 ? "header" : "content";
}
char const* policy_name(wire::ControlStatus const& s)
{
    return s.policy.get() == 0 ? "drop" : "hold";
}

} // namespace

std::string status_text(wire::ControlStatus const& s)
{
    std::ostringstream text;
    text << "capture       " << (s.capturing.get() != 0 ? "on" : "off") << " (mode " << mode_name(s) << ", policy "
         << policy_name(s) << ")\n"
         << (s.holding_writes.get() != 0 ? "writes        held by order of the collector\n" : "") << "running for   "
         << duration(s.uptime_ns.get()) << " on " << s.cpus.get() << " CPUs\n"
         << "disks         " << s.disks.get() << " watched\n"
         << "records       " << s.records.get() << " made, " << s.dropped.get() << " of them dropped\n"
         << "slots         " << s.slots_closed.get() << " closed, " << s.slots_freed.get() << " acknowledged\n"
         << "buffer        " << s.buffer_used.get() / 1024 << " of " << s.buffer_bytes.get() / 1024 << " KiB used\n"
         << "network       link " << (s.link_up.get() != 0 ? "up" : "down") << ", "
         << (ip(s.address) == "0.0.0.0" ? "no address yet" : ip(s.address)) << ", collector " << ip(s.collector) << ':'
         << s.collector_port.get() << ", last acknowledgement "
         << (s.last_ack_utc_ns.get() == 0 ? "never" : utc(s.last_ack_utc_ns.get())) << '\n'
         << "clock         " << utc(s.time_utc_ns.get())
         << (s.synchronised.get() != 0 ? " (SNTP)" : " (not synchronised)") << '\n'
         << "log           " << s.next_log_line.get() << " lines so far\n";
    return text.str();
}

std::string status_json(wire::ControlStatus const& s)
{
    Json const json = {{"capturing", s.capturing.get() != 0},
                       {"mode", mode_name(s)},
                       {"holding_writes", s.holding_writes.get() != 0},
                       {"policy", policy_name(s)},
                       {"cpus", s.cpus.get()},
                       {"disks", s.disks.get()},
                       {"time_utc_ns", s.time_utc_ns.get()},
                       {"start_utc_ns", s.start_utc_ns.get()},
                       {"uptime_ns", s.uptime_ns.get()},
                       {"synchronised", s.synchronised.get() != 0},
                       {"records", s.records.get()},
                       {"dropped", s.dropped.get()},
                       {"slots_closed", s.slots_closed.get()},
                       {"slots_freed", s.slots_freed.get()},
                       {"buffer_bytes", s.buffer_bytes.get()},
                       {"buffer_used", s.buffer_used.get()},
                       {"link_up", s.link_up.get() != 0},
                       {"address", ip(s.address)},
                       {"collector", ip(s.collector) + ':' + std::to_string(s.collector_port.get())},
                       {"last_ack_utc_ns", s.last_ack_utc_ns.get()},
                       {"next_log_line", s.next_log_line.get()}};
    return json.dump() + '\n';
}

std::string version_text(wire::ControlHello const& hello)
{
    return "ucctl    " UNDERCROFT_VERSION "\nsensor   " + padded(hello.sensor_version) + " (" +
           padded(hello.cpu_backend) + ")\nmachine  " + hex(hello.machine_id) + "\nboot     " + hex(hello.boot_id) +
           '\n';
}

std::string version_json(wire::ControlHello const& hello)
{
    Json const json = {{"ucctl", UNDERCROFT_VERSION},
                       {"sensor", padded(hello.sensor_version)},
                       {"backend", padded(hello.cpu_backend)},
                       {"machine_id", hex(hello.machine_id)},
                       {"boot_id", hex(hello.boot_id)}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string counter_name(wire::Counter const& counter)
{
    std::string name = "counter_" + std::to_string(counter.id.get());
    switch (static_cast<wire::CounterId>(counter.id.get())) {
#define X(id, known, text)                                                                                             \
    case wire::CounterId::known:                                                                                       \
        name = #known;                                                                                                 \
        break;
        UNDERCROFT_COUNTERS(X)
#undef X
    }
    return counter.index.get() == 0 ? name : name + '[' + std::to_string(counter.index.get()) + ']';
}

std::string counters_text(std::vector<wire::Counter> const& counters)
{
    std::size_t width = 0;
    for (auto const& counter : counters)
        width = std::max(width, counter_name(counter).size());
    std::string text;
    for (auto const& counter : counters) {
        std::string const name = counter_name(counter);
        text += name + std::string(width + 2 - name.size(), ' ') + std::to_string(counter.value.get()) + '\n';
    }
    return text;
}

std::string counters_json(std::vector<wire::Counter> const& counters)
{
    Json json = Json::object();
    for (auto const& counter : counters)
        json[counter_name(counter)] = counter.value.get();
    return json.dump() + '\n';
}

std::string log_json(LogPart const& part)
{
    Json lines = Json::array();
    std::istringstream text{part.text};
    for (std::string line; std::getline(text, line);)
        lines.push_back(line);
    Json const json = {{"next", part.next}, {"lost", part.lost}, {"lines", lines}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace undercroft::ucctl
