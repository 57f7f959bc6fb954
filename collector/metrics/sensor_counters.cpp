// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "collector/metrics/collector_metrics.hpp"
#include "wire/counters.hpp"

namespace undercroft::collector {
namespace {

/// Figures of a scrape are bounded by these, whatever lies in the store.
constexpr std::size_t max_sensors = 4096;
constexpr std::size_t max_counters = 512;

struct CounterText {
    std::string_view name, help;
};
constexpr std::array counter_texts{
#define X(id, name, text) CounterText{#name, text},
    UNDERCROFT_COUNTERS(X)
#undef X
};

/// Reported with the counters, but may fall.
bool is_gauge(std::string_view name)
{
    return name == "cpus_controlled" || name == "sntp_offset_abs_ns";
}

/// A name that Prometheus takes, or nothing.
bool usable(std::string_view name)
{
    return !name.empty() && name.size() <= 64 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

std::string_view help_of(std::string_view name)
{
    for (CounterText const& counter : counter_texts)
        if (counter.name == name)
            return counter.help;
    return "a counter that this release does not know";
}

struct Sample {
    std::string machine;
    std::uint64_t value;
};
struct Reported {
    std::map<std::string, std::vector<Sample>> counters;
    std::vector<Sample> sequence, uptime_ns, lag;
};

std::uint64_t number_in(nlohmann::json const& document, char const* name)
{
    auto const found = document.find(name);
    return found != document.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

void add_status(Reported& reported, SensorFigures const& sensor, nlohmann::json const& status)
{
    std::string const machine = to_hex(sensor.key.machine);
    std::uint64_t const made = number_in(status, "next_sequence");
    reported.sequence.push_back({machine, made});
    reported.uptime_ns.push_back({machine, number_in(status, "uptime_ns")});
    reported.lag.push_back({machine, made > sensor.next_sequence ? made - sensor.next_sequence : 0});
    auto const counters = status.find("counters");
    if (counters == status.end() || !counters->is_object())
        return;
    for (auto const& [name, value] : counters->items())
        if (value.is_number_unsigned() && usable(name) &&
            (reported.counters.size() < max_counters || reported.counters.contains(name)))
            reported.counters[name].push_back({machine, value.get<std::uint64_t>()});
}

void write_samples(Exposition& out, std::string const& name, MetricType type, std::string_view help,
                   std::vector<Sample> const& samples, double divisor = 0)
{
    out.metric(name, type, help);
    for (Sample const& sample : samples)
        if (divisor != 0)
            out.sample(static_cast<double>(sample.value) / divisor, {{"machine", sample.machine}});
        else
            out.sample(sample.value, {{"machine", sample.machine}});
}

} // namespace

void write_sensor_counters(Exposition& out, CollectorSnapshot const& snapshot, std::filesystem::path const& store)
{
    Reported reported;
    std::size_t left = max_sensors;
    for (auto const& [machine, sensor] : latest_starts(snapshot)) {
        if (left-- == 0)
            break;
        std::ifstream file{store / ("machine=" + to_hex(machine)) / ("boot=" + to_hex(sensor->key.boot)) /
                           "status.json"};
        auto const status = nlohmann::json::parse(file, nullptr, false);
        if (status.is_object())
            add_status(reported, *sensor, status);
    }
    write_samples(out, "undercroft_sensor_reported_sequence", MetricType::gauge,
                  "records that the sensor had made when it reported last", reported.sequence);
    write_samples(out, "undercroft_sensor_lag_records", MetricType::gauge,
                  "of these, records that the collector does not have yet", reported.lag);
    write_samples(out, "undercroft_sensor_uptime_seconds", MetricType::gauge,
                  "how long the sensor had been running when it reported last", reported.uptime_ns, 1e9);
    for (auto const& [name, samples] : reported.counters) {
        bool const gauge = is_gauge(name);
        write_samples(out,
                      fmt::format("undercroft_sensor_{}{}", name, gauge || name.ends_with("_total") ? "" : "_total"),
                      gauge ? MetricType::gauge : MetricType::counter, help_of(name), samples);
    }
}

} // namespace undercroft::collector
