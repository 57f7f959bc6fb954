// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/svm/capabilities.hpp"

namespace undercroft::svm {

backend::MissingList missing_features(std::uint32_t features)
{
    constexpr struct {
        std::uint32_t bit;
        backend::MissingFeature feature;
    } wanted[] = {
        {feature_nested_paging, {"nested paging", "the sensor cannot start on this processor", true}},
        {feature_flush_by_asid, {"FlushByASID", "a flush drops the sensor's own translations too"}},
    };
    backend::MissingList list;
    for (auto const& entry : wanted)
        if ((features & entry.bit) == 0)
            list.features[list.count++] = entry.feature;
    return list;
}

} // namespace undercroft::svm
