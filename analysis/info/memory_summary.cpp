// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/info/memory_summary.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/heatmap/ticks.hpp"
#include "analysis/memory/request.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::array<char const*, access_kinds> kind_words{"read", "write", "execute"};

class Summariser {
public:
    explicit Summariser(MemorySummary& summary) : summary_{summary} {}

    void visit(RecordRow const& row)
    {
        summary_.first_ns = std::min(summary_.first_ns.value_or(row.time_ns), row.time_ns);
        summary_.last_ns = std::max(summary_.last_ns.value_or(row.time_ns), row.time_ns);
        if (row.kind == RecordKind::gap) {
            ++summary_.gap_rows;
            ((row.flags & gap_in_transit) != 0 ? summary_.lost_in_transit : summary_.lost_in_sensor) += row.length;
            return;
        }
        ++summary_.records;
        ++summary_.kinds.at(static_cast<std::size_t>(row.kind));
        summary_.content_records += row.content != nullptr ? 1 : 0;
        if (row.kind == RecordKind::memory_region)
            regions_.push_back(range_of(row));
        if (row.kind == RecordKind::memory_mode)
            take_mode(row);
    }

    void finish()
    {
        for (auto const& [mode, since_ns] : running_) {
            summary_.modes[mode].ran_ns += *summary_.last_ns - since_ns;
            summary_.modes[mode].runs_at_end = true;
        }
        summary_.ram = RamMap{std::move(regions_)};
    }

private:
    void take_mode(RecordRow const& row)
    {
        std::optional<ModeRequest> const request = parse_request(row.request);
        if (!request)
            return;
        auto const running = running_.find(request->mode);
        if (request->starts && running == running_.end()) {
            ++summary_.modes[request->mode].starts;
            running_.emplace(request->mode, row.time_ns);
        } else if (!request->starts && running != running_.end()) {
            summary_.modes[request->mode].ran_ns += row.time_ns - running->second;
            running_.erase(running);
        }
    }

    MemorySummary& summary_;
    std::vector<AddressRange> regions_;
    std::map<std::string, std::int64_t> running_; ///< since when
};

void find_coverage(Boot const& boot, MemorySummary& summary)
{
    double const whole =
        static_cast<double>(summary.ram.pages()) * static_cast<double>(*summary.last_ns - *summary.first_ns);
    if (whole <= 0)
        return;
    Coverage coverage{summary.ram, [&](AccessKind kind, std::uint64_t first, std::uint64_t end, std::int64_t from_ns,
                                       std::int64_t to_ns) {
                          summary.looked.at(static_cast<std::size_t>(kind)) +=
                              static_cast<double>(end - first) * static_cast<double>(to_ns - from_ns) / whole;
                      }};
    Columns const columns{.address = true, .length = true, .source = true, .request = true};
    scan_records(boot.memory_files, columns, {}, [&](RecordRow const& row) {
        coverage.take(row);
        return Visit::next;
    });
    coverage.finish(*summary.last_ns);
    // Several modes may have looked at the same time.
    for (double& share : summary.looked)
        share = std::min(share, 1.0);
}

std::uint64_t complete_sweeps(MemorySummary const& summary)
{
    return static_cast<std::uint64_t>(std::ranges::count_if(summary.sweeps.list, &Sweep::complete));
}

} // namespace

MemorySummary summarise_memory(Boot const& boot)
{
    MemorySummary summary;
    if (boot.memory_files.empty())
        return summary;
    Summariser summariser{summary};
    Columns const columns{.address = true, .length = true, .flags = true, .content = true, .request = true};
    ScanResult const result = scan_records(boot.memory_files, columns, {}, [&](RecordRow const& row) {
        summariser.visit(row);
        return Visit::next;
    });
    for (Hole const& hole : result.holes)
        summary.unaccounted += hole.count;
    summariser.finish();
    find_coverage(boot, summary);
    summary.sweeps = find_sweeps(boot);
    return summary;
}

nlohmann::json to_json(MemorySummary const& summary)
{
    auto kinds = nlohmann::json::object();
    for (std::size_t i = 0; i < record_kinds; ++i)
        if (summary.kinds.at(i) != 0)
            kinds[std::string{to_string(static_cast<RecordKind>(i))}] = summary.kinds.at(i);
    auto modes = nlohmann::json::object();
    for (auto const& [name, mode] : summary.modes)
        modes[name] = {{"starts", mode.starts}, {"ran_ns", mode.ran_ns}, {"runs_at_end", mode.runs_at_end}};
    auto looked = nlohmann::json::object();
    for (std::size_t i = 0; i < access_kinds; ++i)
        looked[kind_words.at(i)] = summary.looked.at(i);
    auto sweeps = nlohmann::json::array();
    for (Sweep const& sweep : summary.sweeps.list)
        sweeps.push_back({{"number", sweep.number},
                          {"incremental", sweep.incremental},
                          {"consistent", sweep.consistent},
                          {"complete", sweep.complete()},
                          {"begin_ns", sweep.begin_ns},
                          {"end_ns", sweep.end_ns},
                          {"pages", sweep.pages}});
    auto const time = [](std::optional<std::int64_t> ns) { return ns ? nlohmann::json(*ns) : nlohmann::json{}; };
    return {{"records", summary.records},
            {"kinds", kinds},
            {"content_records", summary.content_records},
            {"first_ns", time(summary.first_ns)},
            {"last_ns", time(summary.last_ns)},
            {"modes", modes},
            {"ram_pages", summary.ram.pages()},
            {"looked_at", looked},
            {"sweeps", sweeps},
            {"gaps",
             {{"rows", summary.gap_rows},
              {"lost_in_sensor", summary.lost_in_sensor},
              {"lost_in_transit", summary.lost_in_transit},
              {"unaccounted", summary.unaccounted}}}};
}

std::string to_text(MemorySummary const& summary)
{
    std::string text;
    if (!summary.first_ns)
        return text;
    auto const out = std::back_inserter(text);
    fmt::format_to(out, "  memory    {} records, content of {}; {} MiB of RAM\n", group_thousands(summary.records),
                   group_thousands(summary.content_records), group_thousands(summary.ram.pages() / 256));
    for (auto const& [name, mode] : summary.modes)
        fmt::format_to(out, "    mode {:<12} ran {}, started {} times{}\n", name, format_span(mode.ran_ns),
                       group_thousands(mode.starts), mode.runs_at_end ? ", runs at the end" : "");
    for (std::size_t i = 0; i < record_kinds; ++i)
        if (summary.kinds.at(i) != 0)
            fmt::format_to(out, "    {:<20}{:>14} records\n", to_string(static_cast<RecordKind>(i)),
                           group_thousands(summary.kinds.at(i)));
    fmt::format_to(out, "    looked at (share of RAM and time): reads {:.1f} %, writes {:.1f} %, executions {:.1f} %\n",
                   summary.looked[0] * 100, summary.looked[1] * 100, summary.looked[2] * 100);
    if (!summary.sweeps.list.empty())
        fmt::format_to(out, "    sweeps    {}, of these {} complete; the last: {}, {} pages, {} UTC\n",
                       summary.sweeps.list.size(), complete_sweeps(summary), describe(summary.sweeps.list.back()),
                       group_thousands(summary.sweeps.list.back().pages),
                       format_time(summary.sweeps.list.back().begin_ns, 3));
    fmt::format_to(out, "    lost      {} in the sensor, {} between sensor and store, {} without a gap row\n",
                   group_thousands(summary.lost_in_sensor), group_thousands(summary.lost_in_transit),
                   group_thousands(summary.unaccounted));
    return text;
}

} // namespace undercroft::analysis
