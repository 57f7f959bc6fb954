// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Binary traces of Linux' blktrace: DEVICE.blktrace.CPU, one file for each CPU, or one file from `blkparse -d`.
#include <filesystem>
#include <string_view>
#include <vector>

#include "analysis/traces/run_folder.hpp"

namespace undercroft::analysis {

/// The traces in `path`: a file, or a folder whose files of one device are one trace. Throws Error when there is none.
[[nodiscard]] std::vector<RunPlace> find_blktraces(std::filesystem::path const& path);

/// What was issued to the device (D events; where there are none, what was queued). `start_ns`: when the trace began,
/// should it not say so itself. Throws Error when a file cannot be read or is none of blktrace's.
[[nodiscard]] TraceRun load_blktrace(RunPlace const& place, std::int64_t start_ns);

/// The events of one file's bytes, times since the trace's start. For load_blktrace and fuzzing.
struct BlktraceEvents {
    std::vector<Access> issued;
    std::vector<Access> queued;
    std::optional<std::int64_t> start_ns; ///< UTC of time 0
    Complaints complaints;
};
void parse_blktrace(std::string_view bytes, BlktraceEvents& events);

} // namespace undercroft::analysis
