// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// How fast one core reads RanSAP's lines, turns accesses into features and judges a window. The trace is made up:
// bursts of reads and writes over 2 GiB, some of them to the same blocks, at 20,000 rows per second. Prints millions of
// rows per second (parse: RanSAP's text; parquet: RanSAP's five features from a store; parquet_all: all features of
// storage from a store; features: the same from memory) and microseconds of a window (close: its features; predict:
// these to a probability, by the model file that is named or else by one trained here). All of the processor's time:
// this is about one core, whatever else the machine does. The best of several turns.
#include <time.h>

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

double cpu_seconds()
{
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <typename Work>
double seconds_of(Work const& work, int turns)
{
    double best = 1e9;
    for (int i = 0; i < turns; ++i) {
        double const before = cpu_seconds();
        work();
        best = std::min(best, cpu_seconds() - before);
    }
    return best;
}

double millions_per_second(double seconds)
{
    return static_cast<double>(rows) / 1e6 / seconds;
}

double parse_speed()
{
    std::string text;
    for (std::size_t i = 0; i < rows; ++i)
        text +=
            std::to_string(1'600'000'000 + i / 20'000) + ",100626129," + std::to_string(2508800 + i * 8) + ",4096\n";
    std::vector<Access> accesses;
    Complaints complaints;
    return millions_per_second(seconds_of(
        [&] {
            accesses.clear();
            parse_trace_lines(text, TraceKind::read, SubSecondScale::two_to_30, accesses, complaints);
        },
        3));
}

/// Windows of 10 s; sums each feature's values so that none is left out.
template <typename Feed>
void extract(FeatureSet set, std::int64_t step_ns, Feed const& feed)
{
    ExtractorOptions options;
    options.windows_ns = {10'000'000'000};
    options.step_ns = step_ns;
    options.sums_only = needs_sums_only(set);
    options.first_reads_only = !options.sums_only;
    double sum = 0;
    std::vector<Feature const*> const features = features_of(set);
    FeatureExtractor extractor{options, [&](WindowRow const& row) {
                                   for (Feature const* const feature : features)
                                       sum += feature->value(row.windows[0]);
                               }};
    feed(extractor);
    asm volatile("" : : "r"(&sum));
}

double feature_speed()
{
    std::vector<Access> const trace = make_trace(false, rows, 1);
    return millions_per_second(seconds_of(
        [&] {
            extract(FeatureSet::storage, 1'000'000'000, [&](FeatureExtractor& extractor) { extractor.push(trace); });
        },
        3));
}

struct ParquetSpeed {
    double five{};
    double all{};
};

ParquetSpeed parquet_speed()
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
    auto const speed = [&](FeatureSet set) {
        return millions_per_second(seconds_of(
            [&] {
                extract(set, 1'000'000'000, [&](FeatureExtractor& extractor) {
                    for_each_access(boots.front(), {.source = {}},
                                    [&](std::span<Access const> accesses) { extractor.push(accesses); });
                });
            },
            3));
    };
    ParquetSpeed const result{.five = speed(FeatureSet::ransap), .all = speed(FeatureSet::storage)};
    std::filesystem::remove_all(store);
    return result;
}

Model trained_here()
{
    View const view = make_view(FeatureSet::rich, false, {10'000'000'000, 300'000'000'000, 3'000'000'000});
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
    return train_model(pointers, view, {});
}

struct WindowCost {
    double close_us{};
    double predict_us{};
};

/// Per window of a minute's trace, at the model's step.
WindowCost window_cost(Model const& model)
{
    constexpr int turns = 50;
    std::vector<Access> const trace = make_trace(true, 20'000 * 60, 7);
    std::vector<WindowRow> windows;
    FeatureExtractor extractor{model.view.extractor_options(), [&](WindowRow const& row) { windows.push_back(row); }};
    extractor.push(trace);
    Matrix rows_of_model{.columns = model.view.columns.size(), .values = {}};
    auto const fill = [&](Matrix& matrix, WindowRow const& row) {
        matrix.values.clear();
        for (FeatureColumn const& column : model.view.columns)
            matrix.values.push_back(column.value(row));
    };
    double const close = seconds_of(
        [&] {
            for (WindowRow const& row : windows)
                fill(rows_of_model, row);
        },
        turns);
    std::vector<Matrix> each;
    for (WindowRow const& row : windows)
        fill(each.emplace_back(Matrix{.columns = model.view.columns.size(), .values = {}}), row);
    double sum = 0;
    double const predict = seconds_of(
        [&] {
            for (Matrix const& one : each)
                sum += model.judge.probabilities(one).front();
        },
        turns);
    asm volatile("" : : "r"(&sum));
    double const count = static_cast<double>(windows.size());
    return {.close_us = close / count * 1e6, .predict_us = predict / count * 1e6};
}

} // namespace

int main(int argc, char** argv)
{
    ParquetSpeed const parquet = parquet_speed();
    ModelFile file;
    if (argc > 1)
        file = ModelFile::load(argv[1]);
    else
        file.models.push_back(trained_here());
    WindowCost const cost = window_cost(file.models.front());
    std::printf("parse %.1f parquet %.1f parquet_all %.1f features %.1f close %.2f predict %.2f\n", parse_speed(),
                parquet.five, parquet.all, feature_speed(), cost.close_us, cost.predict_us);
}
