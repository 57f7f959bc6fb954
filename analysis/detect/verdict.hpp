// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a model says of a recorded trace, with its reasons.
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "analysis/detect/detector.hpp"
#include "analysis/traces/run_folder.hpp"

namespace undercroft::analysis {

struct Alert {
    std::int64_t time_ns{};        ///< UTC: end of the window that completed it
    std::int64_t until_ns{};       ///< end of the last window of the same alert
    double probability{};          ///< of the window at time_ns
    std::vector<Reason> reasons{}; ///< the five that weigh most towards ransomware, largest first
};

struct Verdict {
    std::string track;
    double threshold{};
    std::size_t windows{};
    double highest{}; ///< probability
    std::vector<Alert> alerts{};
};

[[nodiscard]] Verdict judge_trace(TraceRun const& run, ModelFile const& models);

/// The disks of a store's boots, or the runs of a folder, one by one.
void for_each_trace(std::filesystem::path const& input, SubSecondScale scale,
                    std::function<void(std::string const&, TraceRun const&)> const& visit);

[[nodiscard]] std::string text_of(std::string const& name, Verdict const& verdict);
[[nodiscard]] nlohmann::json json_of(std::string const& name, Verdict const& verdict);

} // namespace undercroft::analysis
