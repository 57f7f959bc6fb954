// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The colour map: blue for few over violet to red for many.
#include <array>

namespace undercroft::analysis {

struct Rgb {
    double r{};
    double g{};
    double b{};
};

/// Oklab (Ottosson 2020): equal distances look equally different.
struct Oklab {
    double l{};
    double a{};
    double b{};
};

[[nodiscard]] Rgb to_srgb(Oklab const& colour);
[[nodiscard]] Oklab to_oklab(Rgb const& colour);

/// `share` in [0, 1]. Equal steps of `share` are equal steps in Oklab, and lightness only rises, so
/// the map is fair to the eye and also reads in grey.
[[nodiscard]] Rgb heat_colour(double share);

inline constexpr Rgb zero_colour{0.965, 0.965, 0.955}; ///< cells without access
inline constexpr Rgb unseen_colour{0.80, 0.83, 0.88};  ///< cells that were not looked at
inline constexpr Rgb unknown_colour{0.62, 0.62, 0.62}; ///< cells whose value is not known

} // namespace undercroft::analysis
