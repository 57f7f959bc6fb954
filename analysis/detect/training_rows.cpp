// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/training_rows.hpp"

#include <map>
#include <set>
#include <string>
#include <utility>

namespace undercroft::analysis {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

/// An attack's first writes wait in the operating system's cache: windows that end so soon teach nothing.
constexpr std::int64_t unseen_ns = 2 * second_ns;

} // namespace

bool is_training_row(RunWindows const& run, std::size_t row)
{
    std::int64_t const end_ns = run.ends_ns[row];
    if (!run.labelled)
        return end_ns % (5 * second_ns) == 0 || end_ns <= 3 * second_ns;
    bool const unseen = run.ransomware && end_ns > run.attack_begin_ns && end_ns <= run.attack_begin_ns + unseen_ns;
    return run.truth(row).has_value() && !unseen;
}

TrainingData weighted(std::vector<RunWindows const*> const& runs, RowLabel const& label)
{
    using Group = std::pair<float, std::string>;
    auto const group_of = [&](RunWindows const& run, std::size_t row) {
        bool const before = run.ransomware && run.truth(row) == false;
        return Group{label(run, row), before ? "before the attack" : run.place.program};
    };
    TrainingData data;
    std::map<float, std::set<std::string>> programs;
    std::map<Group, std::set<RunWindows const*>> runs_of;
    std::map<std::pair<Group, RunWindows const*>, std::size_t> rows_of;
    for (RunWindows const* const run : runs)
        for (std::size_t r = 0; r < run->ends_ns.size(); ++r)
            if (is_training_row(*run, r)) {
                Group const group = group_of(*run, r);
                programs[group.first].insert(group.second);
                runs_of[group].insert(run);
                ++rows_of[{group, run}];
            }
    for (RunWindows const* const run : runs) {
        data.matrix.columns = run->matrix.columns;
        for (std::size_t r = 0; r < run->ends_ns.size(); ++r)
            if (is_training_row(*run, r)) {
                Group const group = group_of(*run, r);
                data.matrix.append(run->matrix.row(r));
                data.labels.push_back(group.first);
                double const share =
                    static_cast<double>(rows_of[{group, run}]) * static_cast<double>(runs_of[group].size()) *
                    static_cast<double>(programs[group.first].size()) * static_cast<double>(programs.size());
                data.weights.push_back(static_cast<float>(1.0 / share));
            }
    }
    for (float& weight : data.weights)
        weight *= static_cast<float>(data.labels.size());
    return data;
}

float label_of(RunWindows const& run, std::size_t row)
{
    return run.truth(row).value_or(false) ? 1.0F : 0.0F;
}

} // namespace undercroft::analysis
