// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Finds and reads runs: those that the test bed recorded (labelled_run.hpp), or the run folders of RanSAP and RanSMAP
// as published (docs/formats/ransap.md):
//   .../<machine>[/<memory>]/<program>[-<variant>]/<run>/ata_read.csv, ata_write.csv, mem_*.csv, or a ZIP file of one.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "analysis/traces/access.hpp"
#include "analysis/traces/labelled_run.hpp"
#include "analysis/traces/trace_lines.hpp"

namespace undercroft::analysis {

/// Where a run lies and what its path says of it.
struct RunPlace {
    std::filesystem::path folder;
    std::string path;        ///< below the tree's root, with '/': names the run everywhere
    std::string environment; ///< the folder above the program's, with RanSMAP's two levels joined by '/'
    std::string program;     ///< the program's folder up to the first '-'
    std::string variant{};   ///< the rest of it
    bool labelled{};         ///< recorded by the test bed: family and file system are program and environment
};

struct TraceRun {
    RunPlace place;
    bool has_reads{};
    bool has_writes{};
    bool has_memory{};
    std::vector<Access> accesses; ///< by time; at one time reads first, then by address
    Complaints complaints;
    std::optional<RunTruth> truth; ///< none: the program's name tells, of the run as a whole
};

/// The runs below `root` (or `root` itself), ordered by path; where one has labels, only such are taken. Throws Error
/// when there is none.
[[nodiscard]] std::vector<RunPlace> find_runs(std::filesystem::path const& root);

/// Which of a run's files to read.
struct TraceFiles {
    bool storage = true;
    bool memory = true;
};

/// Reads a run. Throws Error when a file cannot be read or unpacked; what is wrong inside a CSV file is counted.
[[nodiscard]] TraceRun load_run(RunPlace const& place, SubSecondScale scale, TraceFiles files);

} // namespace undercroft::analysis
