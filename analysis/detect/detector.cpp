// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/detector.hpp"

#include <algorithm>

namespace undercroft::analysis {
namespace {

constexpr std::size_t most_reasons = 8;
/// How far back places can be told: an alert that has gone on for longer tells the last of it.
constexpr std::int64_t keep_places_ns = 120'000'000'000;

} // namespace

std::vector<Reason> reasons_of(Model const& model, Matrix const& row, std::size_t most)
{
    std::vector<double> const log_odds = model.judge.contributions(row);
    std::vector<Reason> reasons;
    for (std::size_t c = 0; c < log_odds.size(); ++c) {
        FeatureColumn const& column = model.view.columns[c];
        if (log_odds[c] > 0)
            reasons.push_back({.feature = std::string{column.feature->name},
                               .window_ns = model.view.windows_ns[column.window],
                               .value = static_cast<double>(row.values[c]),
                               .log_odds = log_odds[c]});
    }
    std::ranges::sort(reasons, std::greater<>{}, &Reason::log_odds);
    reasons.resize(std::min(reasons.size(), most));
    return reasons;
}

DiskDetector::DiskDetector(Model const& model, DetectorOptions options, DetectorSink& sink)
    : model_{model}, options_{options}, sink_{sink}, shortest_ns_{std::ranges::min(model.view.windows_ns)},
      written_{keep_places_ns}, row_{.columns = model.view.columns.size(), .values = {}},
      extractor_{model.view.extractor_options(), [this](WindowRow const& row) { window(row); }},
      order_{options.reorder_ns, [this](Access const& access) { ordered(access); }}
{
}

void DiskDetector::push(Access const& access)
{
    if (model_.view.takes(access.kind))
        order_.push(access);
}

void DiskDetector::ordered(Access const& access)
{
    extractor_.push(access);
    written_.add(access);
}

void DiskDetector::advance_to(std::int64_t now_ns)
{
    order_.settle(now_ns - options_.reorder_ns);
    extractor_.advance_to(now_ns - options_.reorder_ns);
}

void DiskDetector::finish()
{
    order_.finish();
    extractor_.finish();
}

void DiskDetector::window(WindowRow const& row)
{
    row_.values.clear();
    for (FeatureColumn const& column : model_.view.columns)
        row_.values.push_back(column.value(row));
    double const probability = model_.judge.probabilities(row_).front();
    if (open_ && row.end_ns - open_->until_ns > options_.quiet_ns) {
        sink_.episode(EpisodeChange::ended, *open_);
        open_.reset();
    }
    if (probability >= model_.threshold)
        above(row.end_ns, probability);
    else
        in_a_row_ = 0;
    bool const alarm = open_ && open_->until_ns == row.end_ns;
    sink_.score({.end_ns = row.end_ns, .probability = probability, .alarm = alarm});
}

void DiskDetector::above(std::int64_t end_ns, double probability)
{
    if (in_a_row_++ == 0)
        evidence_ns_ = end_ns - shortest_ns_;
    if (!open_) {
        if (in_a_row_ >= model_.consecutive || probability >= model_.sure_threshold)
            raise(end_ns, probability);
        return;
    }
    open_->until_ns = end_ns;
    open_->highest = std::max(open_->highest, probability);
    ++open_->windows;
    if (end_ns - told_ns_ < options_.continue_ns)
        return;
    told_ns_ = end_ns;
    open_->places = written_.between(open_->first_evidence_ns, end_ns);
    sink_.episode(EpisodeChange::continued, *open_);
}

void DiskDetector::raise(std::int64_t end_ns, double probability)
{
    open_ = Episode{.first_evidence_ns = evidence_ns_,
                    .alert_ns = end_ns,
                    .until_ns = end_ns,
                    .probability = probability,
                    .highest = probability,
                    .windows = in_a_row_,
                    .reasons = reasons_of(model_, row_, most_reasons),
                    .places = written_.between(evidence_ns_, end_ns)};
    told_ns_ = end_ns;
    sink_.episode(EpisodeChange::raised, *open_);
}

} // namespace undercroft::analysis
