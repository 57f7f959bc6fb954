// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// An alert as it is written down (docs/formats/alerts.md).
#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "analysis/detect/detector.hpp"

namespace undercroft::analysis {

/// Whose disk.
struct DiskName {
    std::string machine;
    std::string boot;
    std::uint16_t source{};
    auto operator<=>(DiskName const&) const = default;

    [[nodiscard]] std::string disk() const; ///< "0:1"
};

/// 16 hexadecimal digits of what the alert is about.
[[nodiscard]] std::string alert_id(DiskName const& disk, std::int64_t first_evidence_ns);

/// The line for a change of an alert. `earlier`: the last line there was of it, or null; what it knows and the episode
/// does not (picture, response, acknowledgement, when it was raised) is kept.
[[nodiscard]] nlohmann::json alert_line(DiskName const& disk, ModelFile const& file, Model const& model,
                                        EpisodeChange change, Episode const& episode, std::int64_t now_ns,
                                        nlohmann::json const& earlier);

/// The line that says that somebody has seen to it.
[[nodiscard]] nlohmann::json acknowledged_line(nlohmann::json const& earlier, std::string const& by,
                                               std::string const& note, std::int64_t now_ns);

/// Whether the text is an alert's line as alert_line makes it, as far as readers here rely on it.
[[nodiscard]] bool is_alert_line(nlohmann::json const& line);

[[nodiscard]] std::int64_t utc_now_ns();
/// "2026-11-22T05:47:03.250Z"
[[nodiscard]] std::string rfc3339(std::int64_t time_ns);

} // namespace undercroft::analysis
