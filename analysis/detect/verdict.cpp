// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/verdict.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/detect/training.hpp"
#include "analysis/read/times.hpp"
#include "analysis/traces/boot_trace.hpp"
#include "analysis/traces/import.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t most_reasons = 5;

std::vector<Reason> reasons_at(Model const& model, RunWindows const& windows, std::size_t row)
{
    Matrix one{.columns = windows.matrix.columns, .values = {}};
    one.append(windows.matrix.row(row));
    return reasons_of(model, one, most_reasons);
}

/// One trace per disk: what happens on one says nothing of another's blocks.
std::map<std::uint16_t, TraceRun> traces_of(Boot const& boot)
{
    std::map<std::uint16_t, TraceRun> traces;
    bool const reads_only = lacks_writes(boot.folder);
    Columns const columns{.address = true, .length = true, .source = true, .entropy = true};
    scan_records(boot, columns, {}, [&](RecordRow const& row) {
        if (!is_note(row.kind)) {
            TraceRun& trace = traces[row.source];
            trace.has_reads = true;
            trace.has_writes = !reads_only;
            trace.accesses.push_back(access_of(row));
        }
        return Visit::next;
    });
    return traces;
}

} // namespace

Verdict judge_trace(TraceRun const& run, ModelFile const& models)
{
    Model const& model = models.for_trace(run.has_writes);
    RunWindows const windows = windows_of(run, Labels{}, model.view);
    std::vector<double> const probabilities = model.judge.probabilities(windows.matrix);
    Verdict verdict{.track = model.track, .threshold = model.threshold, .windows = probabilities.size()};
    std::uint32_t in_a_row = 0;
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
        verdict.highest = std::max(verdict.highest, probabilities[i]);
        in_a_row = probabilities[i] >= model.threshold ? in_a_row + 1 : 0;
        std::int64_t const end_ns = windows.start_ns + windows.ends_ns[i];
        if (in_a_row == model.consecutive)
            verdict.alerts.push_back({end_ns, end_ns, probabilities[i], reasons_at(model, windows, i)});
        else if (in_a_row > model.consecutive)
            verdict.alerts.back().until_ns = end_ns;
    }
    return verdict;
}

void for_each_trace(std::filesystem::path const& input, SubSecondScale scale,
                    std::function<void(std::string const&, TraceRun const&)> const& visit)
{
    if (!is_store(input)) {
        for (RunPlace const& place : find_runs(input))
            visit(place.path, load_run(place, scale, {}));
        return;
    }
    for (Boot const& boot : list_boots(input, "", ""))
        for (auto const& [source, trace] : traces_of(boot))
            visit(fmt::format("machine {} boot {} disk {}:{}", boot.machine, boot.id, source >> 8, source & 255),
                  trace);
}

std::string text_of(std::string const& name, Verdict const& verdict)
{
    std::string text = fmt::format("{}: {} ({}, {} windows, highest {:.3f} of {:.3f})", name,
                                   verdict.alerts.empty() ? "nothing found" : "RANSOMWARE", verdict.track,
                                   verdict.windows, verdict.highest, verdict.threshold);
    for (Alert const& alert : verdict.alerts) {
        text += fmt::format("\n  {} to {}: probability {:.3f}", format_time(alert.time_ns, 3),
                            format_time(alert.until_ns, 3), alert.probability);
        for (Reason const& reason : alert.reasons)
            text += fmt::format("\n    {} = {:.4g} ({:+.2f})", reason.feature, reason.value, reason.log_odds);
    }
    return text;
}

nlohmann::json json_of(std::string const& name, Verdict const& verdict)
{
    nlohmann::json alerts = nlohmann::json::array();
    for (Alert const& alert : verdict.alerts) {
        nlohmann::json reasons = nlohmann::json::array();
        for (Reason const& reason : alert.reasons)
            reasons.push_back({{"feature", reason.feature}, {"value", reason.value}, {"log_odds", reason.log_odds}});
        alerts.push_back({{"time_ns", alert.time_ns},
                          {"until_ns", alert.until_ns},
                          {"probability", alert.probability},
                          {"reasons", reasons}});
    }
    return {{"trace", name},
            {"track", verdict.track},
            {"windows", verdict.windows},
            {"highest", verdict.highest},
            {"threshold", verdict.threshold},
            {"alerts", alerts}};
}

} // namespace undercroft::analysis
