// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/candidates.hpp"

#include <algorithm>

namespace undercroft::analysis {

std::vector<Candidate> candidates_of(EvaluationOptions const& options, bool reads_only)
{
    std::vector<Candidate> list =
        reads_only
            ? std::vector<Candidate>{{"anchored, reads", FeatureSet::reads, true, JudgeKind::anchored},
                                     {"boosted trees, reads", FeatureSet::reads, true, JudgeKind::boosted},
                                     {"random forest, reads", FeatureSet::reads, true, JudgeKind::forest},
                                     {"logistic regression, reads", FeatureSet::reads, true, JudgeKind::logistic},
                                     {"boosted trees, RanSAP's two", FeatureSet::ransap_reads, false,
                                      JudgeKind::boosted}}
            : std::vector<Candidate>{{"anchored, rich", FeatureSet::rich, true, JudgeKind::anchored},
                                     {"boosted trees, rich", FeatureSet::rich, true, JudgeKind::boosted},
                                     {"random forest, rich", FeatureSet::rich, true, JudgeKind::forest},
                                     {"logistic regression, rich", FeatureSet::rich, true, JudgeKind::logistic},
                                     {"boosted trees, rich, no context", FeatureSet::rich, false, JudgeKind::boosted},
                                     {"anchored, payload-free", FeatureSet::payload_free, true, JudgeKind::anchored},
                                     {"boosted trees, RanSAP's five", FeatureSet::ransap, false, JudgeKind::boosted}};
    auto const main = std::ranges::find(list, options.kind, &Candidate::kind); // the first of a kind is the plain one
    std::rotate(list.begin(), main, main + 1);
    if (options.main_only)
        list.resize(1);
    return list;
}

View view_of(Candidate const& candidate, EvaluationOptions const& options, bool reads_only)
{
    std::vector<std::int64_t> windows{options.windows_ns.front()};
    if (candidate.with_context)
        windows = options.windows_ns;
    View view = make_view(candidate.features, reads_only, std::move(windows));
    view.first_reads_only = !options.keep_leak;
    return view;
}

} // namespace undercroft::analysis
