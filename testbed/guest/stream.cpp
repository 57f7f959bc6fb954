// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// stream [ELEMENTS [REPEATS]]: time of four loops over three arrays of doubles (10 million each, as in the paper):
// copy, scale, add, triad. Prints JSON: seconds of the best and of the mean repeat of each loop, the first repeat left
// out, and their sum. Fails when the arrays do not hold what they must at the end.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace {

constexpr double factor = 3.0;
constexpr std::array<char const*, 4> names{"copy", "scale", "add", "triad"};

struct Arrays {
    std::vector<double> a;
    std::vector<double> b;
    std::vector<double> c;
};

void run_loop(std::size_t loop, Arrays& arrays)
{
    std::size_t const n = arrays.a.size();
    double* const a = arrays.a.data();
    double* const b = arrays.b.data();
    double* const c = arrays.c.data();
    switch (loop) {
    case 0:
        for (std::size_t i = 0; i < n; ++i)
            c[i] = a[i];
        break;
    case 1:
        for (std::size_t i = 0; i < n; ++i)
            b[i] = factor * c[i];
        break;
    case 2:
        for (std::size_t i = 0; i < n; ++i)
            c[i] = a[i] + b[i];
        break;
    default:
        for (std::size_t i = 0; i < n; ++i)
            a[i] = b[i] + factor * c[i];
        break;
    }
    __asm__ volatile("" : : "r"(a), "r"(b), "r"(c) : "memory"); // the stores are really made
}

/// What each element is after so many rounds.
bool right(Arrays const& arrays, std::size_t rounds)
{
    double a = 1;
    double b = 2;
    double c = 0;
    for (std::size_t i = 0; i < rounds; ++i) {
        c = a;
        b = factor * c;
        c = a + b;
        a = b + factor * c;
    }
    auto const all = [](std::vector<double> const& values, double expected) {
        return std::ranges::all_of(values,
                                   [&](double x) { return std::abs(x - expected) <= std::abs(expected) * 1e-9; });
    };
    return all(arrays.a, a) && all(arrays.b, b) && all(arrays.c, c);
}

} // namespace

int main(int argc, char** argv)
{
    std::size_t const elements = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10'000'000;
    std::size_t const repeats = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 10;
    if (elements == 0 || repeats < 2)
        return std::fputs("usage: stream [ELEMENTS [REPEATS, at least 2]]\n", stderr), 2;
    Arrays arrays{std::vector<double>(elements, 1.0), std::vector<double>(elements, 2.0),
                  std::vector<double>(elements, 0.0)};
    std::array<std::vector<double>, names.size()> seconds;
    for (std::size_t round = 0; round < repeats; ++round) {
        for (std::size_t loop = 0; loop < names.size(); ++loop) {
            auto const begin = std::chrono::steady_clock::now();
            run_loop(loop, arrays);
            if (round > 0)
                seconds[loop].push_back(
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        }
    }
    if (!right(arrays, repeats))
        return std::fputs("stream: wrong results\n", stderr), 1;
    double total = 0;
    std::printf("{\"elements\": %zu, \"repeats\": %zu", elements, repeats);
    for (std::size_t loop = 0; loop < names.size(); ++loop) {
        auto const& times = seconds[loop];
        double const mean = std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
        total += mean;
        std::printf(", \"%s\": {\"best\": %.6f, \"mean\": %.6f}", names[loop], *std::ranges::min_element(times), mean);
    }
    std::printf(", \"mean_total\": %.6f}\n", total);
}
