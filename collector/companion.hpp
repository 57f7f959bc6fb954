// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What may run in the collector's process without the collector knowing what it is: it follows the store.
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "collector/control/protocol.hpp"
#include "collector/snapshot.hpp"

namespace CLI {
class App;
}

namespace undercroft::collector {

/// Runs from its making to its end. Ended after everything is stored; it may then take a moment for what it has not
/// seen yet.
class Companion {
public:
    virtual ~Companion() = default;
};

/// What a companion may use as long as it lives.
struct CompanionPlace {
    std::filesystem::path store;
    std::string control_socket; ///< empty: none
    SnapshotSource const& figures;
    std::function<ControlReply(ControlCall const&)> command; ///< to a sensor, from any thread
};

class CompanionMaker {
public:
    virtual ~CompanionMaker() = default;
    /// Adds its options to `undercroft collect`.
    virtual void add_options(CLI::App& command) = 0;
    /// Null when its options do not ask for it. The store is open. Throws std::exception when it cannot start.
    [[nodiscard]] virtual std::unique_ptr<Companion> start(CompanionPlace const& place) = 0;
};

} // namespace undercroft::collector
