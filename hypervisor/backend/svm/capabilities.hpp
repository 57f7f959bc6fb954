// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What this processor's SVM offers: CPUID Fn8000_000A_EDX (AMD APM volume 3, E.4.9).
#include <cstdint>

#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::svm {

inline constexpr std::uint32_t feature_nested_paging = 1U << 0, feature_flush_by_asid = 1U << 6;

/// SYSCFG: memory encryption is switched on (APM volume 2, 7.10).
inline constexpr std::uint64_t syscfg_encryption = 1ULL << 23;

/// Address bits that name memory. `sizes`: CPUID Fn8000_0008_EAX; `encryption`: Fn8000_001F. While memory is encrypted
/// (`syscfg`) those above choose a key: the same memory by another name.
[[nodiscard]] unsigned usable_address_bits(std::uint32_t sizes, core::CpuidResult const& encryption,
                                           std::uint64_t syscfg);

[[nodiscard]] backend::MissingList missing_features(std::uint32_t features);

} // namespace undercroft::svm
