// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "analysis/detect/evaluate.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

/// The program whose probability is highest in the mean of the run's windows.
std::string const& program_of(Booster const& booster, RunWindows const& run, std::vector<std::string> const& programs)
{
    std::vector<float> const probabilities = booster.probabilities(run.matrix);
    std::vector<double> sums(programs.size());
    for (std::size_t i = 0; i < probabilities.size(); ++i)
        sums[i % programs.size()] += static_cast<double>(probabilities[i]);
    return programs[static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin())];
}

} // namespace

Json family_figures(std::vector<RunWindows const*> const& train, std::vector<RunWindows const*> test)
{
    std::set<std::string> known;
    for (RunWindows const* const run : train)
        known.insert(run->place.program);
    std::vector<std::string> const programs{known.begin(), known.end()};
    std::erase_if(test, [&](RunWindows const* run) { return !known.contains(run->place.program); });
    if (programs.size() < 3 || test.empty())
        return {};
    Booster const booster = train_families(train, programs, 1);
    std::map<std::string, Confusion> by_program;
    Json errors = Json::array();
    for (RunWindows const* const run : test) {
        std::string const& said = program_of(booster, *run, programs);
        for (std::string const& program : programs)
            by_program[program].add(run->place.program == program, said == program);
        if (said != run->place.program)
            errors.push_back({{"run", run->place.path}, {"said", said}});
    }
    double sum = 0;
    double count = 0;
    Json per_program = Json::object();
    for (auto const& [program, confusion] : by_program) {
        if (confusion.true_positives + confusion.false_negatives == 0)
            continue;
        per_program[program] = *confusion.f1();
        sum += *confusion.f1();
        count += 1;
    }
    return {{"macro_f1", sum / count}, {"programs", per_program}, {"runs", test.size()}, {"errors", errors}};
}

} // namespace undercroft::analysis
