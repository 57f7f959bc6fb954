// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/export/dump_command.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/command.hpp"
#include "analysis/heatmap/ticks.hpp"
#include "analysis/memory/dump.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

std::string ranges_text(std::vector<AddressRange> const& ranges, std::size_t most)
{
    std::string text;
    for (std::size_t i = 0; i < std::min(ranges.size(), most); ++i)
        text += fmt::format("\n  {:#x} to {:#x}", ranges[i].first, ranges[i].end - 1);
    if (ranges.size() > most)
        text += fmt::format("\n  and {} more ranges", ranges.size() - most);
    return text;
}

nlohmann::json ranges_json(std::vector<AddressRange> const& ranges)
{
    auto list = nlohmann::json::array();
    for (AddressRange const& range : ranges)
        list.push_back({range.first, range.end});
    return list;
}

/// Sweeps of the chain whose records are not all there: pages may be older than the sweep.
std::string incomplete(Sweeps const& sweeps, SweepChain chain)
{
    std::string text;
    for (std::size_t i = chain.first; i <= chain.last; ++i) {
        Sweep const& sweep = sweeps.list[i];
        if (!sweep.complete())
            text += fmt::format("\n  {}: {} of {} pages, {} records lost{}", describe(sweep), sweep.pages,
                                sweep.ended ? std::to_string(sweep.stated_pages) : "an unknown number of",
                                sweep.lost_records, sweep.ended ? "" : ", no end");
    }
    if (sweeps.list[chain.first].incremental)
        text += fmt::format("\n  {}: the full sweep before it is missing", describe(sweeps.list[chain.first]));
    return text;
}

nlohmann::json sidecar(Boot const& boot, DumpRequest const& request, Sweep const& sweep, MemoryImage const& image,
                       std::string const& problems)
{
    return {{"format", request.format == DumpFormat::lime     ? "lime"
                       : request.format == DumpFormat::padded ? "padded"
                                                              : "elf"},
            {"machine", boot.machine},
            {"boot", boot.id},
            {"sweep", sweep.number},
            {"incremental", sweep.incremental},
            {"consistent", sweep.consistent},
            {"begin_ns", sweep.begin_ns},
            {"end_ns", sweep.end_ns},
            {"regions", ranges_json(image.ram().regions())},
            {"missing", ranges_json(image.missing())},
            {"incomplete", problems},
            {"pages_outside_ram", image.pages_outside()},
            {"hello", read_json(boot.folder / "hello.json")}};
}

} // namespace

void export_dump(Boot const& boot, std::filesystem::path const& store, DumpRequest const& request)
{
    Sweeps const sweeps = find_sweeps(boot);
    SweepChain const chain = choose_sweep(sweeps, request.sweep);
    Sweep const& sweep = sweeps.list[chain.last];
    ContentStore const content{store};
    MemoryImage const image{boot, sweeps, chain, content};
    std::string const problems = incomplete(sweeps, chain);
    std::uint64_t const missing = image.missing_pages();
    if (missing != 0 || !problems.empty()) {
        std::string const text =
            fmt::format("{} of {} pages are missing{}{}{}", missing, image.ram().pages(),
                        ranges_text(image.missing(), 16), problems.empty() ? "" : "\nnot complete:", problems);
        if (!request.allow_missing)
            throw Error{text + "\n--allow-missing writes zeros for missing pages"};
        fmt::print(stderr, "undercroft export: warning: {}\n", text);
    }
    nlohmann::json document = sidecar(boot, request, sweep, image, problems);
    document["sha256"] = write_dump(image, request.format, request.out);
    write_file(request.out.string() + ".json", document.dump(2) + "\n");
    fmt::print("{}: {} of {} UTC, {} regions, {} pages\n{}.json: what is in it\n", request.out.string(),
               describe(sweep), format_time(sweep.begin_ns, 3), image.ram().regions().size(),
               group_thousands(image.ram().pages()), request.out.string());
}

} // namespace undercroft::analysis
