// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the commands share. The folders' own commands.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "analysis/read/store.hpp"

namespace undercroft::analysis {

/// STORE, --machine and --boot.
struct StoreOptions {
    std::string store;
    std::string machine;
    std::string boot;

    void add_to(CLI::App& command);
    [[nodiscard]] Boot select() const { return select_boot(store, machine, boot); }
};

/// --source as "N" or "CONTROLLER:PORT".
struct SourceOption {
    std::string text;

    void add_to(CLI::App& command);
    [[nodiscard]] std::optional<std::uint16_t> get() const;
};

/// Runs `body` when the command is given; prints what it throws and sets the exit code.
void on_run(CLI::App& command, int& exit_code, std::function<void()> body);

/// Writes text under its final name only when complete. Throws Error.
void write_file(std::filesystem::path const& file, std::string const& text);

/// Two unsigned numbers, decimal or hexadecimal behind 0x, with `separator` between ("1600x900"). Throws Error that
/// quotes `option`.
[[nodiscard]] std::pair<std::uint64_t, std::uint64_t> parse_pair(std::string const& text, char separator,
                                                                 char const* option);

void register_heatmap(CLI::App& root, int& exit_code);
void register_export(CLI::App& root, int& exit_code);
void register_replay(CLI::App& root, int& exit_code);
void register_features(CLI::App& root, int& exit_code);
void register_info(CLI::App& root, int& exit_code);
void register_import(CLI::App& root, int& exit_code);
void register_training(CLI::App& root, int& exit_code);
void register_alerts(CLI::App& root, int& exit_code);

} // namespace undercroft::analysis
