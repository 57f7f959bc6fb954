// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "analysis/detect/evaluate.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {

void split_runs(std::vector<RunPlace>& train, std::vector<RunPlace>& test, bool same_folder)
{
    if (same_folder) {
        std::map<std::string, std::vector<RunPlace>> groups;
        for (RunPlace const& place : train)
            groups[place.environment + "/" + place.program + "-" + place.variant].push_back(place);
        if (std::ranges::all_of(groups, [](auto const& group) { return group.second.size() == 1; })) {
            groups.clear(); // every program once on each machine: the machines share it out
            for (RunPlace const& place : train)
                groups[place.program].push_back(place);
        }
        train.clear();
        test.clear();
        for (auto const& [name, places] : groups)
            for (std::size_t i = 0; i < places.size(); ++i)
                (i < places.size() / 2 ? train : test).push_back(places[i]);
        if (train.empty()) { // every program once: every other one trains
            std::vector<RunPlace> const all = std::move(test);
            test.clear();
            for (std::size_t i = 0; i < all.size(); ++i)
                (i % 2 == 0 ? train : test).push_back(all[i]);
        }
        return;
    }
    std::set<std::string> seen;
    auto const name_of = [](RunPlace const& place) {
        return place.environment + "/" + place.program + "/" + place.folder.filename().string();
    };
    std::set<std::filesystem::path> folders; // the same one may have several names, by links
    for (RunPlace const& place : train) {
        seen.insert(name_of(place));
        folders.insert(std::filesystem::weakly_canonical(place.folder));
    }
    std::erase_if(test, [&](RunPlace const& place) {
        return seen.contains(name_of(place)) || folders.contains(std::filesystem::weakly_canonical(place.folder));
    });
    if (test.empty())
        throw Error{"every run of the test folder is in the training folder too"};
}

} // namespace undercroft::analysis
