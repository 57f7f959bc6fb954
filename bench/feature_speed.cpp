// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// How fast one core reads RanSAP's lines, turns accesses into features and judges a window. The trace is made up:
// bursts of reads and writes over 2 GiB, some of them to the same blocks, at 20,000 rows per second. Prints millions of
// rows per second (parse: RanSAP's text; parquet: RanSAP's five features from a store; features: all features of
// storage from memory) and microseconds per window (predict).
#include <time.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>

#include "analysis/detect/training.hpp"
#include "analysis/traces/boot_trace.hpp"
#include "analysis/traces/import.hpp"

namespace {

using namespace undercroft::analysis;

constexpr std::size_t rows = 4'000'000;
constexpr std::int64_t start_ns = 1'600'000'000'000'000'000;

std::vector<Access> make_trace(bool ransomware, std::size_t count, std::uint32_t seed)
{
    std::mt19937_64 random{seed};
    std::vector<Access> accesses;
    std::uint64_t lba = 0;
    std::size_t left = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (left == 0) {
            lba = random() % (1 << 19) * 8;
            left = 1 + random() % (ransomware ? 4 : 32);
        }
        bool const write = i % 3 == 0;
        accesses.push_back({.time_ns = start_ns + static_cast<std::int64_t>(i) * 50'000,
                            .address = write && !ransomware ? lba + (1 << 24) : lba,
                            .bytes = 4096,
                            .entropy = write ? 0.99F : std::numeric_limits<float>::quiet_NaN(),
                            .kind = write ? TraceKind::write : TraceKind::read});
        lba += 8;
        --left;
    }
    return accesses;
}

template <typename Work>
double seconds_of(Work const& work)
{
    auto const start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double parse_speed()
{
    std::string text;
    for (std::size_t i = 0; i < rows; ++i)
        text +=
            std::to_string(1'600'000'000 + i / 20'000) + ",100626129," + std::to_string(2508800 + i * 8) + ",4096\n";
    std::vector<Access> accesses;
    accesses.reserve(rows);
    Complaints complaints;
    return static_cast<double>(rows) / 1e6 / seconds_of([&] {
               parse_trace_lines(text, TraceKind::read, SubSecondScale::two_to_30, accesses, complaints);
           });
}

double feature_speed()
{
    std::vector<Access> const trace = make_trace(false, rows, 1);
    ExtractorOptions options;
    options.windows_ns = {10'000'000'000};
    options.step_ns = 10'000'000'000;
    double sum = 0;
    FeatureExtractor extractor{options, [&](WindowRow const& row) {
                                   for (Feature const* const feature : features_of(FeatureSet::rich))
                                       sum += feature->value(row.windows[0]);
                               }};
    double const spent = seconds_of([&] { extractor.push(trace); });
    asm volatile("" : : "r"(&sum));
    return static_cast<double>(rows) / 1e6 / spent;
}

/// Of the processor's time: this is about one core, whatever else the machine does.
double cpu_seconds()
{
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double parquet_speed()
{
    std::filesystem::path const store = std::filesystem::temp_directory_path() / "undercroft-feature-speed";
    std::filesystem::remove_all(store);
    prepare_store(store);
    TraceRun run;
    run.place.path = run.place.environment = "made-up";
    run.has_reads = run.has_writes = true;
    run.accesses = make_trace(false, rows, 2);
    import_run(run, store);
    std::vector<Boot> const boots = list_boots(store, "", "");
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
        ExtractorOptions options;
        options.windows_ns = {10'000'000'000};
        options.step_ns = 1'000'000'000;
        options.first_reads_only = false;
        options.sums_only = true;
        double sum = 0;
        FeatureExtractor extractor{options, [&](WindowRow const& row) {
                                       for (Feature const* const feature : features_of(FeatureSet::ransap))
                                           sum += feature->value(row.windows[0]);
                                   }};
        double const before = cpu_seconds();
        for_each_access(boots.front(), {.source = {}},
                        [&](std::span<Access const> accesses) { extractor.push(accesses); });
        best = std::min(best, cpu_seconds() - before);
        asm volatile("" : : "r"(&sum));
    }
    std::filesystem::remove_all(store);
    return static_cast<double>(rows) / 1e6 / best;
}

double predict_us()
{
    View const view = make_view(FeatureSet::rich, false, {10'000'000'000, 300'000'000'000});
    Labels const labels{{"ransomware"}};
    std::vector<RunWindows> runs;
    for (std::uint32_t i = 0; i < 8; ++i) {
        TraceRun run;
        run.has_reads = run.has_writes = true;
        run.place.program = i % 2 == 0 ? "ransomware" : "benign";
        run.accesses = make_trace(i % 2 == 0, 400'000, i);
        runs.push_back(windows_of(run, labels, view));
    }
    std::vector<RunWindows const*> pointers;
    for (RunWindows const& run : runs)
        pointers.push_back(&run);
    Model const model = train_model(pointers, view, {});
    Matrix one{.columns = view.columns.size(), .values = {}};
    one.append(runs[0].matrix.row(0));
    constexpr int windows = 2000;
    return 1e6 / windows * seconds_of([&] {
               for (int i = 0; i < windows; ++i)
                   asm volatile("" : : "r"(model.judge.probabilities(one).data()));
           });
}

} // namespace

int main()
{
    std::printf("parse %.1f parquet %.1f features %.1f predict %.1f\n", parse_speed(), parquet_speed(), feature_speed(),
                predict_us());
}
