// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs that the test bed recorded: FOLDER/<run>/labels.json beside FOLDER/<run>/store (docs/workloads.md).
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace undercroft::analysis {

/// What is known of a run besides its accesses. Times are UTC by the sensor's clock.
struct RunTruth {
    bool ransomware{};
    std::int64_t begin_ns{}; ///< of ransomware: its first write of a file; before it the run is benign
    std::int64_t end_ns{};   ///< the program was done; what comes after is neither
    std::uint64_t corpus_files{};
    std::vector<std::int64_t> touched_ns; ///< of each file that it got to: its first write, ascending
};

/// Where a recorded run lies in its store, and its truth.
struct LabelledRun {
    std::string family;
    std::string environment;
    std::string machine;
    std::string boot;
    std::uint16_t source{};
    RunTruth truth;
};

inline constexpr char labels_file[] = "labels.json";

/// Throws Error that names the file and what is wrong with it.
[[nodiscard]] LabelledRun read_labels(std::filesystem::path const& file);

} // namespace undercroft::analysis
