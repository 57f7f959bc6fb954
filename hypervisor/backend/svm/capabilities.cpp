// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/backend/svm/capabilities.hpp"

#include <algorithm>

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

unsigned usable_address_bits(std::uint32_t sizes, core::CpuidResult const& encryption, std::uint64_t syscfg)
{
    unsigned const bits = sizes & 0xFF, key_bit = encryption.ebx & 63, fewer = encryption.ebx >> 6 & 63;
    if ((syscfg & syscfg_encryption) == 0 || fewer >= bits || key_bit == 0)
        return bits;
    return std::min(bits - fewer, key_bit);
}

} // namespace undercroft::svm
