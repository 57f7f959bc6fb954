// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Detection while `undercroft collect` runs: follows the journal and judges what comes.
#include <atomic>
#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>

#include "analysis/detect/guard.hpp"
#include "analysis/detect/notify.hpp"
#include "analysis/live/respond.hpp"

namespace undercroft::analysis {

/// Options that `undercroft detect` and `undercroft collect` share.
struct WatchOptions {
    std::string model;
    std::string quiet = "60s";
    std::string context = "10m"; ///< what came so long before the start is read first, as context
    std::string policy = "none";
    std::string control_socket;
    NotifyOptions notify;

    /// `prefix` is "--" or "--detect-", `group` what they are listed under.
    void add_to(CLI::App& command, std::string const& prefix, std::string const& group);
};

/// Throws Error when the options make no sense or the model cannot be used.
void check(WatchOptions const& options);

/// Until `stop` is set, then to the end of what is there. Throws Error when it cannot start or go on.
void watch(std::string const& store, std::string const& machine, WatchOptions const& options,
           std::atomic<bool> const& stop, Guard::Say const& say);

} // namespace undercroft::analysis
