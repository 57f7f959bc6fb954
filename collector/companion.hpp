// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What may run in the collector's process without the collector knowing what it is: it follows the store.
#include <filesystem>
#include <memory>
#include <string>

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

class CompanionMaker {
public:
    virtual ~CompanionMaker() = default;
    /// Adds its options to `undercroft collect`.
    virtual void add_options(CLI::App& command) = 0;
    /// Null when its options do not ask for it. The store is open. Throws std::exception when it cannot start.
    [[nodiscard]] virtual std::unique_ptr<Companion> start(std::filesystem::path const& store,
                                                           std::string const& control_socket) = 0;
};

} // namespace undercroft::collector
