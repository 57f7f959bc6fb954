// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/heatmap/colour.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace undercroft::analysis {
namespace {

constexpr int entries = 256;
constexpr int fine = 4096;

/// Corners of the path in Oklab's cylindrical form.
struct Corner {
    double at; ///< position along the path before it is made even
    double lightness;
    double chroma;
    double hue_degrees;
};
constexpr std::array<Corner, 5> corners{{{0.00, 0.38, 0.190, 263},
                                         {0.30, 0.44, 0.210, 292},
                                         {0.55, 0.51, 0.215, 328},
                                         {0.80, 0.58, 0.225, 370},
                                         {1.00, 0.64, 0.245, 389}}};

Oklab corner_path(double at)
{
    auto const next =
        std::ranges::find_if(corners.begin() + 1, corners.end() - 1, [&](Corner const& c) { return c.at >= at; });
    Corner const& to = *next;
    Corner const& from = *(next - 1);
    double const t = (at - from.at) / (to.at - from.at);
    auto const mix = [&](double a, double b) { return a + (b - a) * t; };
    double const hue = mix(from.hue_degrees, to.hue_degrees) * std::numbers::pi / 180;
    double const chroma = mix(from.chroma, to.chroma);
    return {.l = mix(from.lightness, to.lightness), .a = chroma * std::cos(hue), .b = chroma * std::sin(hue)};
}

double distance(Oklab const& a, Oklab const& b)
{
    return std::hypot(a.l - b.l, a.a - b.a, a.b - b.b);
}

/// The path as a screen shows it (inside sRGB), cut into steps of equal length.
std::array<Rgb, entries> make_table()
{
    std::array<double, fine + 1> length{};
    for (int i = 1; i <= fine; ++i)
        length[static_cast<std::size_t>(i)] =
            length[static_cast<std::size_t>(i - 1)] + distance(to_oklab(to_srgb(corner_path(double(i - 1) / fine))),
                                                               to_oklab(to_srgb(corner_path(double(i) / fine))));
    std::array<Rgb, entries> table{};
    for (int k = 0; k < entries; ++k) {
        auto const at = std::ranges::lower_bound(length, length.back() * k / (entries - 1));
        table[static_cast<std::size_t>(k)] = to_srgb(corner_path(double(at - length.begin()) / fine));
    }
    return table;
}

double encode(double linear)
{
    double const x = std::clamp(linear, 0.0, 1.0);
    return x <= 0.0031308 ? 12.92 * x : 1.055 * std::pow(x, 1 / 2.4) - 0.055;
}

double decode(double x)
{
    return x <= 0.04045 ? x / 12.92 : std::pow((x + 0.055) / 1.055, 2.4);
}

} // namespace

Rgb to_srgb(Oklab const& colour)
{
    double const l = std::pow(colour.l + 0.3963377774 * colour.a + 0.2158037573 * colour.b, 3);
    double const m = std::pow(colour.l - 0.1055613458 * colour.a - 0.0638541728 * colour.b, 3);
    double const s = std::pow(colour.l - 0.0894841775 * colour.a - 1.2914855480 * colour.b, 3);
    return {.r = encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
            .g = encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
            .b = encode(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

Oklab to_oklab(Rgb const& colour)
{
    double const r = decode(colour.r);
    double const g = decode(colour.g);
    double const b = decode(colour.b);
    double const l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double const m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double const s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    return {.l = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
            .a = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            .b = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

Rgb heat_colour(double share)
{
    static std::array<Rgb, entries> const table = make_table();
    double const clamped = std::isnan(share) ? 0 : std::clamp(share, 0.0, 1.0);
    return table[static_cast<std::size_t>(std::lround(clamped * (entries - 1)))];
}

} // namespace undercroft::analysis
