// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Trace files, ZIP files and what the features make of them. The first byte chooses.
#include <cmath>
#include <cstdlib>

#include "analysis/features/catalogue.hpp"
#include "analysis/read/error.hpp"
#include "analysis/traces/trace_lines.hpp"
#include "analysis/traces/zip_archive.hpp"

namespace {

using namespace undercroft::analysis;

void feed_features(std::vector<Access> const& accesses)
{
    ExtractorOptions options;
    options.windows_ns = {2'000'000'000, 10'000'000'000};
    options.step_ns = 1'000'000'000;
    options.most_blocks = 1 << 14;
    FeatureExtractor extractor{options, [](WindowRow const& row) {
                                   for (WindowTotals const& window : row.windows)
                                       for (Feature const& feature : catalogue())
                                           if (std::isinf(feature.value(window)))
                                               std::abort();
                               }};
    for (Access const& access : accesses)
        extractor.push(access);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    if (size == 0)
        return 0;
    std::string_view const text{reinterpret_cast<char const*>(data) + 1, size - 1};
    unsigned const choice = data[0] % 13;
    if (choice == 12) {
        try {
            (void)unpack_zip_entry(text, "ata_read.csv", 1 << 20);
        } catch (Error const&) {
            return 0; // refused, as most inputs must be
        }
        return 0;
    }
    std::vector<Access> accesses;
    Complaints complaints;
    auto const kind = std::array{TraceKind::read,
                                 TraceKind::write,
                                 TraceKind::memory_read,
                                 TraceKind::memory_write,
                                 TraceKind::memory_read_write,
                                 TraceKind::memory_execute}[choice % 6];
    auto const scale = choice < 6 ? SubSecondScale::two_to_30 : SubSecondScale::nanoseconds;
    parse_trace_lines(text, kind, scale, accesses, complaints);
    for (Access const& access : accesses)
        if (access.time_ns < 0 || access.entropy < 0 || access.entropy > 1 || access.bytes > (1U << 30))
            std::abort();
    feed_features(accesses);
    return 0;
}
