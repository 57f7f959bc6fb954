// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The collector's own figures and those that its sensors report, as metrics.
#include <filesystem>
#include <map>

#include "collector/metrics/exposition.hpp"
#include "collector/snapshot.hpp"

namespace undercroft::collector {

/// Of each machine the start that was heard last.
[[nodiscard]] std::map<Id, SensorFigures const*> latest_starts(CollectorSnapshot const& snapshot);

/// Counters, store, queues, and how each sensor stands.
void write_snapshot(Exposition& out, CollectorSnapshot const& snapshot);

/// Every counter of every sensor that the snapshot names, from the status files of the store (docs/formats/store.md).
void write_sensor_counters(Exposition& out, CollectorSnapshot const& snapshot, std::filesystem::path const& store);

/// Version and time of start.
void write_build_info(Exposition& out, std::string_view version, double start_utc_s);

} // namespace undercroft::collector
