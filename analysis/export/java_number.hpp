// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Numbers as Java's Double.toString and Float.toString write them, which is how RanSAP's files have theirs.
#include <string>

namespace undercroft::analysis {

/// Shortest digits that give the number back; plain from 10^-3 to below 10^7 with at least one digit after
/// the point, otherwise "1.2E-4". Also "-0.0", "NaN", "Infinity".
[[nodiscard]] std::string java_text(double value);
[[nodiscard]] std::string java_text(float value);

} // namespace undercroft::analysis
