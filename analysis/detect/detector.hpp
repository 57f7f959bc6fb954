// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Judges the accesses of one disk as they come, live or from a file: the same accesses give the same windows, the same
// probabilities and the same alerts.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/detect/model.hpp"
#include "analysis/detect/write_places.hpp"
#include "analysis/features/extractor.hpp"
#include "analysis/traces/time_order.hpp"

namespace undercroft::analysis {

struct Reason {
    std::string feature;
    std::int64_t window_ns{};
    double value{};    ///< NaN: undefined in that window
    double log_odds{}; ///< what it added to the verdict
};

/// A stretch of windows above the threshold, as far as it is known.
struct Episode {
    std::int64_t first_evidence_ns{}; ///< begin of the shortest window that was above the threshold first
    std::int64_t alert_ns{};          ///< end of the window that completed the alert
    std::int64_t until_ns{};          ///< end of the latest window above the threshold
    double probability{};             ///< at alert_ns
    double highest{};
    std::uint64_t windows{}; ///< above the threshold
    std::vector<Reason> reasons;
    Places places; ///< written between first_evidence_ns and until_ns
};

enum class EpisodeChange : std::uint8_t { raised, continued, ended };

struct WindowScore {
    std::int64_t end_ns{};
    double probability{};
    bool alarm{}; ///< part of an alert
};

class DetectorSink {
public:
    virtual ~DetectorSink() = default;
    virtual void score(WindowScore const& score) = 0;
    virtual void episode(EpisodeChange change, Episode const& episode) = 0;
};

struct DetectorOptions {
    std::int64_t quiet_ns = 60'000'000'000;    ///< without a window above the threshold: the alert has ended
    std::int64_t continue_ns = 10'000'000'000; ///< at most so often is `continued` said
    std::int64_t reorder_ns = 250'000'000;     ///< accesses may lie this far behind the newest one
};

class DiskDetector {
public:
    /// `model` and `sink` outlive this.
    DiskDetector(Model const& model, DetectorOptions options, DetectorSink& sink);

    /// In the order of the stream.
    void push(Access const& access);
    /// It is `now_ns` by the clock of the accesses: what is older has come.
    void advance_to(std::int64_t now_ns);
    /// There is no more to come. An alert that is open stays open.
    void finish();
    [[nodiscard]] Model const& model() const { return model_; }

private:
    void ordered(Access const& access);
    void window(WindowRow const& row);
    void above(std::int64_t end_ns, double probability);
    void raise(std::int64_t end_ns, double probability);
    [[nodiscard]] std::vector<Reason> reasons() const;

    Model const& model_;
    DetectorOptions options_;
    DetectorSink& sink_;
    std::int64_t shortest_ns_{};
    WritePlaces written_;
    Matrix row_;
    std::uint32_t in_a_row_ = 0;
    std::int64_t evidence_ns_ = 0; ///< of the present series of windows above the threshold
    std::int64_t told_ns_ = 0;
    std::optional<Episode> open_;
    FeatureExtractor extractor_;
    TimeOrder order_;
};

/// What each column added to the verdict on `matrix`'s only row, the weightiest towards ransomware first, at most
/// `most`.
[[nodiscard]] std::vector<Reason> reasons_of(Model const& model, Matrix const& row, std::size_t most);

} // namespace undercroft::analysis
