// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What this processor's SVM offers: CPUID Fn8000_000A_EDX (AMD APM volume 3, E.4.9).
#include <cstdint>

#include "hypervisor/backend/vendor.hpp"

namespace undercroft::svm {

inline constexpr std::uint32_t feature_nested_paging = 1U << 0, feature_flush_by_asid = 1U << 6;

[[nodiscard]] backend::MissingList missing_features(std::uint32_t features);

} // namespace undercroft::svm
