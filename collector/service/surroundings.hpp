// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What stands around a running collector: the log, the listener for metrics, the service manager.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "collector/log/log.hpp"
#include "collector/metrics/exposition.hpp"
#include "collector/metrics/listener.hpp"
#include "collector/service/notify.hpp"
#include "collector/snapshot.hpp"

namespace undercroft::collector {

struct SurroundingsOptions {
    LogFormat log_format = LogFormat::text;
    spdlog::level::level_enum log_level = spdlog::level::info;
    std::string metrics_listen; ///< empty: none
};

/// Adds --log-format, --log-level (table log) and --metrics-listen (table metrics).
void add_surroundings_options(CLI::App& command, SurroundingsOptions& options);

class Surroundings {
public:
    /// Starts the log. Threads that are made later block the signals that this one blocks.
    explicit Surroundings(SurroundingsOptions const& options);

    /// Others that have figures (HDFS) add them here.
    [[nodiscard]] MetricsRegistry& metrics() { return registry_; }
    /// Everything listens: opens the metrics' port and tells the service manager. Figures are asked for as long as the
    /// result lives (nullptr: nobody asks). Throws ListenerError.
    [[nodiscard]] std::unique_ptr<MetricsListener> start(SnapshotSource const& figures,
                                                         std::filesystem::path const& store, std::string const& status);
    /// From the loop that must not hang.
    void alive(ServiceNotifier::Clock::time_point now) { notifier_.alive(now); }
    void stopping() const { notifier_.stopping(); }

private:
    SurroundingsOptions options_;
    ServiceNotifier notifier_;
    MetricsRegistry registry_;
};

} // namespace undercroft::collector
