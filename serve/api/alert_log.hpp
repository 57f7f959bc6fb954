// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Alerts and scores as detectors write them beside the records (docs/formats/alerts.md).
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace undercroft::serve {

/// Follows STORE/alerts: each call reads what was appended since the one before.
class AlertLog {
public:
    explicit AlertLog(std::filesystem::path const& store) : folder_{store / "alerts"} {}

    /// How each alert stands now, the latest first, at most 1,000; only those of the machine and boot, if given.
    [[nodiscard]] std::vector<nlohmann::json> latest(std::string const& machine, std::string const& boot);

private:
    struct File {
        std::uint64_t read{}; ///< bytes, whole lines
    };
    void read_more();
    void take(std::string const& line);

    std::filesystem::path folder_;
    std::mutex mutex_; ///< guards what follows
    std::map<std::filesystem::path, File> files_;
    std::map<std::string, nlohmann::json> alerts_; ///< by id
};

struct Scores {
    std::vector<std::int64_t> end_ns;
    std::vector<float> probability;
    std::vector<std::uint8_t> alarm;
    nlohmann::json made_by; ///< the last heading before the end of the range; null: none
};

/// Windows that end within [from, to); of more than `most` the highest of each of `most` equal steps.
[[nodiscard]] Scores read_scores(std::filesystem::path const& store, std::string const& machine,
                                 std::string const& boot, std::uint16_t source, std::int64_t from_ns,
                                 std::int64_t to_ns, std::size_t most);

} // namespace undercroft::serve
