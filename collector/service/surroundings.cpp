// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/service/surroundings.hpp"

#include <chrono>
#include <map>
#include <set>

#include <fmt/format.h>

#include "collector/config/address.hpp"
#include "collector/log/log.hpp"
#include "collector/metrics/collector_metrics.hpp"

namespace undercroft::collector {
namespace {

std::map<std::string, LogFormat> const log_formats{
    {"text", LogFormat::text}, {"json", LogFormat::json}, {"journald-priority", LogFormat::journald_priority}};
std::map<std::string, spdlog::level::level_enum> const log_levels{{"debug", spdlog::level::debug},
                                                                  {"info", spdlog::level::info},
                                                                  {"warning", spdlog::level::warn},
                                                                  {"error", spdlog::level::err}};

template <typename T>
void add_choice(CLI::App& command, char const* name, std::map<std::string, T> const& choices, T& value,
                char const* standard, std::string const& text)
{
    std::set<std::string> names;
    for (auto const& choice : choices)
        names.insert(choice.first);
    command
        .add_option_function<std::string>(
            name, [&choices, &value](std::string const& chosen) { value = choices.at(chosen); }, text)
        ->default_str(standard)
        ->check(CLI::IsMember(names))
        ->type_name("NAME")
        ->group("log");
}

double utc_now_s()
{
    return std::chrono::duration<double>{std::chrono::system_clock::now().time_since_epoch()}.count();
}

} // namespace

void add_surroundings_options(CLI::App& command, SurroundingsOptions& options)
{
    add_choice(command, "--log-format", log_formats, options.log_format, "text", "form of the log on stderr");
    add_choice(command, "--log-level", log_levels, options.log_level, "info", "least important lines that are logged");
    command
        .add_option("--metrics-listen", options.metrics_listen,
                    "TCP address and port for Prometheus (GET /metrics), such as 127.0.0.1:9471; there is no password: "
                    "keep it on an address that only the monitoring reaches")
        ->type_name("ADDRESS:PORT")
        ->check(CLI::Validator{check_address, ""})
        ->group("metrics");
}

Surroundings::Surroundings(SurroundingsOptions const& options) : options_{options}
{
    start_log(options_.log_format, options_.log_level);
}

std::unique_ptr<MetricsListener> Surroundings::start(SnapshotSource const& figures, std::filesystem::path const& store,
                                                     std::string const& status)
{
    std::unique_ptr<MetricsListener> listener;
    if (!options_.metrics_listen.empty()) {
        registry_.add([&figures, store, start_utc_s = utc_now_s()](Exposition& out) {
            CollectorSnapshot const snapshot = figures.snapshot();
            write_build_info(out, UNDERCROFT_VERSION, start_utc_s);
            write_snapshot(out, snapshot);
            write_sensor_counters(out, snapshot, store);
        });
        auto const address = parse_address(options_.metrics_listen);
        if (!address)
            throw ListenerError{"--metrics-listen: " + address.error()};
        listener = std::make_unique<MetricsListener>(*address, registry_);
        log_event(spdlog::level::info, "metrics_listening",
                  fmt::format("metrics on http://{}:{}/metrics",
                              options_.metrics_listen.substr(0, options_.metrics_listen.rfind(':')), listener->port()));
        if (!address->loopback)
            log_event(spdlog::level::warn, "metrics_open",
                      fmt::format("the metrics are open to everyone who reaches {}", options_.metrics_listen));
    }
    notifier_.ready(status);
    return listener;
}

} // namespace undercroft::collector
