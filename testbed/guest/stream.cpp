// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// stream [ELEMENTS [SECONDS [WARM-UP-SECONDS [COMMAND]]]]: time of four loops over three arrays of doubles (10 million
// each, as in the paper): copy, scale, add, triad. Repeats them for so long, at least twice, after a warm-up that is
// not measured. COMMAND is run by the shell before and after what is measured, with "before" or "after" as its
// argument. Prints JSON: seconds of the best and of the mean repeat of each loop, and the sum of the means. Fails when
// the arrays do not hold what they must at the end.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
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

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin)
{
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

using Times = std::array<std::vector<double>, names.size()>;

/// Rounds of all loops, at least `least`, until `seconds` are over.
std::size_t run_rounds(Arrays& arrays, std::size_t least, double seconds, Times& times)
{
    auto const begin = Clock::now();
    std::size_t rounds = 0;
    for (; rounds < least || seconds_since(begin) < seconds; ++rounds) {
        for (std::size_t loop = 0; loop < names.size(); ++loop) {
            auto const started = Clock::now();
            run_loop(loop, arrays);
            times[loop].push_back(seconds_since(started));
        }
    }
    return rounds;
}

bool tell(std::string const& command, char const* when)
{
    return command.empty() || std::system((command + " " + when).c_str()) == 0;
}

} // namespace

int main(int argc, char** argv)
{
    std::size_t const elements = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10'000'000;
    double const seconds = argc > 2 ? std::strtod(argv[2], nullptr) : 5;
    double const warm_up = argc > 3 ? std::strtod(argv[3], nullptr) : 1;
    std::string const command = argc > 4 ? argv[4] : "";
    if (elements == 0)
        return std::fputs("usage: stream [ELEMENTS [SECONDS [WARM-UP-SECONDS [COMMAND]]]]\n", stderr), 2;
    Arrays arrays{std::vector<double>(elements, 1.0), std::vector<double>(elements, 2.0),
                  std::vector<double>(elements, 0.0)};
    Times unmeasured;
    Times times;
    std::size_t rounds = run_rounds(arrays, 1, warm_up, unmeasured);
    if (!tell(command, "before"))
        return std::fputs("stream: the command failed\n", stderr), 1;
    std::size_t const measured = run_rounds(arrays, 2, seconds, times);
    if (!tell(command, "after"))
        return std::fputs("stream: the command failed\n", stderr), 1;
    rounds += measured;
    if (!right(arrays, rounds))
        return std::fputs("stream: wrong results\n", stderr), 1;
    double total = 0;
    std::printf("{\"elements\": %zu, \"rounds\": %zu", elements, measured);
    for (std::size_t loop = 0; loop < names.size(); ++loop) {
        double const mean =
            std::accumulate(times[loop].begin(), times[loop].end(), 0.0) / static_cast<double>(measured);
        total += mean;
        std::printf(", \"%s\": {\"best\": %.6f, \"mean\": %.6f}", names[loop], *std::ranges::min_element(times[loop]),
                    mean);
    }
    std::printf(", \"mean_total\": %.6f}\n", total);
}
