// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/evaluation_runs.hpp"

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

Json names(std::vector<RunPlace> const& places)
{
    Json result = Json::array();
    for (RunPlace const& place : places)
        result.push_back(place.path);
    return result;
}

Json json_of(Complaints const& complaints)
{
    Json result = Json::object();
    for (std::size_t i = 0; i < complaint_kinds; ++i)
        if (auto const complaint = static_cast<Complaint>(i); complaints[complaint] != 0)
            result[std::string{to_string(complaint)}] = complaints[complaint];
    return result;
}

std::string key_of(Candidate const& candidate, bool reads_only)
{
    return fmt::format("{} {} {}", to_string(candidate.features), candidate.with_context, reads_only);
}

} // namespace

EvaluationRuns::EvaluationRuns(EvaluationOptions const& options, Progress const& progress)
    : options_{options}, progress_{progress}, labels_{options.ransomware}
{
    std::vector<RunPlace> train = find_runs(options.train);
    std::vector<RunPlace> test = find_runs(options.test);
    one_folder_ = std::filesystem::equivalent(options.train, options.test);
    split_runs(train, test, one_folder_);
    for (bool const reads_only : {false, true})
        for (Candidate const& candidate : candidates_of(options, reads_only))
            views_[key_of(candidate, reads_only)].view = view_of(candidate, options, reads_only);
    View rule;
    rule.windows_ns = {options.windows_ns.front()};
    for (char const* const name : {"write_rate", "overwrite_after_read", "write_entropy"})
        rule.columns.push_back({find_feature(name), 0});
    views_["rule"].view = rule;
    load(train, &ViewedRuns::train);
    load(test, &ViewedRuns::test);
    split_ = {{"train", names(train)}, {"test", names(test)}, {"one_folder", one_folder_}};
    progress_(fmt::format("taken for ransomware, by name: {}; for benign: {} (--ransomware NAME,… says otherwise)",
                          fmt::join(ransomware_, ", "), fmt::join(benign_, ", ")));
}

ViewedRuns const& EvaluationRuns::of(Candidate const& candidate, bool reads_only) const
{
    return views_.at(key_of(candidate, reads_only));
}

void EvaluationRuns::describe(nlohmann::json& figures) const
{
    figures["split"] = split_;
    figures["window_s"] = static_cast<double>(options_.windows_ns.front()) * 1e-9;
    figures["context_s"] = static_cast<double>(std::ranges::max(options_.windows_ns)) * 1e-9;
    figures["leak_filter"] = !options_.keep_leak;
    figures["taken_for_ransomware"] = ransomware_;
    figures["taken_for_benign"] = benign_;
    figures["complaints"] = json_of(complaints_);
    if (!left_out_.is_null())
        figures["left_out"] = left_out_;
}

/// A run that cannot be read is named and left out.
void EvaluationRuns::load_one(RunPlace const& place, std::vector<RunWindows> ViewedRuns::* where)
{
    try {
        TraceRun const run = load_run(place, options_.scale, {.memory = false});
        complaints_ += run.complaints;
        bool const ransomware = run.truth ? run.truth->ransomware : labels_.is_ransomware(place.program);
        (ransomware ? ransomware_ : benign_).insert(place.program);
        std::size_t of_use = 0;
        for (auto& [key, view] : views_)
            if (view.view.reads_only ? run.has_reads : run.has_writes)
                if (RunWindows windows = windows_of(run, labels_, view.view); !windows.ends_ns.empty()) {
                    (view.*where).push_back(std::move(windows));
                    ++of_use;
                }
        if (of_use == 0)
            throw Error{fmt::format("{}: no read or write that can be used", place.path)};
    } catch (Error const& error) {
        left_out_.push_back({{"run", place.path}, {"why", error.what()}});
        progress_(fmt::format("left out: {}", error.what()));
    }
}

void EvaluationRuns::load(std::vector<RunPlace> const& places, std::vector<RunWindows> ViewedRuns::* where)
{
    for (std::size_t i = 0; i < places.size(); ++i) {
        load_one(places[i], where);
        if (i % 20 == 19 || i + 1 == places.size())
            progress_(fmt::format("{} of {} runs read", i + 1, places.size()));
    }
}

} // namespace undercroft::analysis
