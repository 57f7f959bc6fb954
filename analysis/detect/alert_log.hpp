// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The alerts of a store: STORE/alerts/*.jsonl (docs/formats/alerts.md).
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/detect/alert.hpp"
#include "analysis/detect/line_file.hpp"

namespace undercroft::analysis {

class AlertLog {
public:
    explicit AlertLog(std::filesystem::path const& store) : folder_{store / "alerts"}, follower_{folder_} {}

    /// Takes in what any process has appended.
    void refresh();
    /// The latest line of an alert; null: none.
    [[nodiscard]] nlohmann::json find(std::string const& id) const;
    /// The alert of this disk that covers the time between the two, give or take `quiet_ns`; null: none.
    [[nodiscard]] nlohmann::json covering(DiskName const& disk, std::int64_t from_ns, std::int64_t until_ns,
                                          std::int64_t quiet_ns) const;
    /// The latest line of each, by first evidence.
    [[nodiscard]] std::vector<nlohmann::json> all() const;
    /// Throws Error.
    void append(nlohmann::json const& line);
    [[nodiscard]] std::filesystem::path const& folder() const { return folder_; }

private:
    std::filesystem::path folder_;
    LineFollower follower_;
    std::map<std::string, nlohmann::json> latest_;
};

} // namespace undercroft::analysis
