// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a model says of recorded traces, with its reasons.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/detect/guard.hpp"
#include "analysis/read/store.hpp"
#include "analysis/traces/run_folder.hpp"

namespace undercroft::analysis {

/// Of one disk of a boot, or of one run.
struct Verdict {
    std::string name;
    std::string track;
    double threshold{};
    std::uint64_t windows{};
    double highest{};                   ///< probability
    std::vector<nlohmann::json> alerts; ///< lines as docs/formats/alerts.md has them
};

using ForEachVerdict = std::function<void(Verdict const&)>;

/// Every disk of the boots. Writes alerts and scores into the store unless the options say otherwise.
void judge_store(std::vector<Boot> const& boots, ModelFile const& models, GuardOptions const& options,
                 ForEachVerdict const& visit);
/// Every run of a folder; nothing is written.
void judge_runs(std::filesystem::path const& folder, SubSecondScale scale, ModelFile const& models,
                GuardOptions options, ForEachVerdict const& visit);

[[nodiscard]] std::string text_of(Verdict const& verdict);
[[nodiscard]] nlohmann::json json_of(Verdict const& verdict);

} // namespace undercroft::analysis
