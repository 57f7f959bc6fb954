// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collector/companion.hpp"
#include "collector/hdfs/options.hpp"
#include "collector/ingest/identity.hpp"
#include "collector/service/surroundings.hpp"
#include "collector/store/store.hpp"

namespace undercroft::collector {

struct CollectOptions {
    StoreOptions store;
    HdfsOptions hdfs; ///< without URL: no copy
    std::string key_file;
    std::string listen = "0.0.0.0:4710";
    std::set<Id> machines;
    std::string metrics_file;
    std::string ready_file;
    std::string control_socket; ///< empty: none
    bool progress = false;
    std::optional<double> exit_after_idle_s;
    SurroundingsOptions surroundings;
    std::vector<std::shared_ptr<CompanionMaker>> companions;
    int receive_buffer_bytes = 32 << 20; ///< of each receiving thread's socket
    unsigned receive_threads = 0;        ///< 0: half of the processors, at least 2 if there are, at most 8
    /// Time from a slot's arrival to the commit that makes it durable, at most (plus the disk's own time).
    std::chrono::milliseconds commit_interval{10};
};

/// Runs until SIGTERM, SIGINT or the idle limit. Exit code: 0 all stored, 1 could not start or go on,
/// 3 stopped, but something is still in the journal and waits for the next start.
[[nodiscard]] int run_collect(CollectOptions const& options);

} // namespace undercroft::collector
