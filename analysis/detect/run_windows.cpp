// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A run's accesses as rows of features.
#include <algorithm>
#include <array>

#include "analysis/detect/training.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::array<std::uint64_t, 2> beat_lbas{2508800, 2508864};
constexpr std::uint64_t fewest_beats = 100;

} // namespace

std::size_t longest_window(View const& view)
{
    return static_cast<std::size_t>(std::ranges::max_element(view.windows_ns) - view.windows_ns.begin());
}

View make_view(FeatureSet set, bool reads_only, std::vector<std::int64_t> windows_ns)
{
    View view;
    view.windows_ns = std::move(windows_ns);
    view.reads_only = reads_only;
    for (std::size_t window = 0; window < view.windows_ns.size(); ++window)
        for (Feature const* const feature : features_of(set))
            if (!reads_only || feature->needs == Needs::reads)
                view.columns.push_back({feature, window});
    // Peaks say something about the machine too, but they outlast the attack.
    for (char const* const name : {"read_single_peak", "overwrite_peak", "at_rest_in_runs_peak"})
        if (Feature const* const feature = find_feature(name);
            set != FeatureSet::ransap && set != FeatureSet::ransap_reads && view.windows_ns.size() > 1 &&
            (!reads_only || feature->needs == Needs::reads))
            view.columns.push_back({feature, longest_window(view)});
    return view;
}

RunWindows windows_of(TraceRun const& run, Labels const& labels, View const& view)
{
    RunWindows result;
    result.place = run.place;
    result.ransomware = run.truth ? run.truth->ransomware : labels.is_ransomware(run.place.program);
    result.labelled = run.truth.has_value();
    result.has_writes = run.has_writes;
    result.matrix.columns = view.columns.size();
    std::uint64_t beats = 0;
    std::uint64_t written = 0;
    bool started = false;
    FeatureExtractor extractor{view.extractor_options(), [&](WindowRow const& row) {
                                   result.ends_ns.push_back(row.end_ns - result.start_ns);
                                   result.written_bytes.push_back(written);
                                   for (FeatureColumn const& column : view.columns)
                                       result.matrix.values.push_back(column.value(row));
                               }};
    for (Access const& access : run.accesses) {
        if (!view.takes(access.kind)) {
            written += access.kind == TraceKind::write ? access.bytes : 0;
            continue;
        }
        result.start_ns = started ? result.start_ns : access.time_ns;
        started = true;
        beats += access.kind == TraceKind::read && std::ranges::find(beat_lbas, access.address) != beat_lbas.end();
        extractor.push(access);
        written += access.kind == TraceKind::write ? access.bytes : 0;
    }
    extractor.finish();
    if (run.truth && run.truth->ransomware) {
        result.attack_begin_ns = run.truth->begin_ns - result.start_ns;
        result.attack_end_ns = run.truth->end_ns - result.start_ns;
        result.corpus_files = run.truth->corpus_files;
        for (std::int64_t const time_ns : run.truth->touched_ns)
            result.touched_ns.push_back(time_ns - result.start_ns);
    }
    result.has_leak = beats >= fewest_beats;
    return result;
}

} // namespace undercroft::analysis
