// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/judge_store.hpp"

#include <set>

#include <fmt/format.h>

#include "analysis/read/times.hpp"
#include "analysis/traces/boot_trace.hpp"
#include "analysis/traces/import.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

void say_errors(std::string const& line)
{
    if (line.starts_with("error"))
        fmt::print(stderr, "{}\n", line);
}

Verdict verdict_of(std::string name, Guard const& guard, DiskName const& disk, Model const& model)
{
    Verdict verdict{.name = std::move(name),
                    .track = model.track,
                    .threshold = model.threshold,
                    .windows = guard.windows(disk),
                    .highest = guard.highest(disk),
                    .alerts = {}};
    for (Json const& line : guard.alerts())
        if (line["undercroft"]["source"] == disk.source)
            verdict.alerts.push_back(line);
    return verdict;
}

} // namespace

void judge_store(std::vector<Boot> const& boots, ModelFile const& models, GuardOptions const& options,
                 ForEachVerdict const& visit)
{
    Columns const columns{.address = true, .length = true, .source = true, .entropy = true, .flags = true};
    for (Boot const& boot : boots) {
        bool const has_writes = !lacks_writes(boot.folder);
        Guard guard{models, options, {}, say_errors};
        std::set<DiskName> disks;
        scan_records(boot, columns, {}, [&](RecordRow const& row) {
            if (!is_note(row.kind)) {
                DiskName const disk{.machine = boot.machine, .boot = boot.id, .source = row.source};
                disks.insert(disk);
                guard.access(disk, access_of(row), has_writes);
            }
            return Visit::next;
        });
        guard.finish();
        for (DiskName const& disk : disks)
            visit(verdict_of(fmt::format("machine {} boot {} disk {}", boot.machine, boot.id, disk.disk()), guard, disk,
                             models.for_trace(has_writes)));
    }
}

void judge_runs(std::filesystem::path const& folder, SubSecondScale scale, ModelFile const& models,
                GuardOptions options, ForEachVerdict const& visit)
{
    options.write = false;
    for (RunPlace const& place : find_runs(folder)) {
        TraceRun const run = load_run(place, scale, {.memory = false});
        ImportedIds const ids = ids_of(place);
        DiskName const disk{.machine = ids.machine, .boot = ids.boot};
        Guard guard{models, options, {}, say_errors};
        for (Access const& access : run.accesses)
            guard.access(disk, access, run.has_writes);
        guard.finish();
        visit(verdict_of(place.path, guard, disk, models.for_trace(run.has_writes)));
    }
}

std::string text_of(Verdict const& verdict)
{
    std::string text = fmt::format("{}: {} ({}, {} windows, highest {:.3f} of {:.3f})", verdict.name,
                                   verdict.alerts.empty() ? "nothing found" : "RANSOMWARE", verdict.track,
                                   verdict.windows, verdict.highest, verdict.threshold);
    for (Json const& line : verdict.alerts) {
        Json const& about = line["undercroft"];
        text += fmt::format("\n  {} to {}: probability {:.3f}, {} MiB written",
                            format_time(about["alert_ns"].get<std::int64_t>(), 3),
                            format_time(about["until_ns"].get<std::int64_t>(), 3), about["probability"].get<double>(),
                            about["bytes_written"].get<std::uint64_t>() >> 20);
        for (Json const& reason : about["reasons"])
            text += fmt::format("\n    {} over {} s = {} ({:+.2f})", reason["feature"].get<std::string>(),
                                reason["window_s"].get<double>(),
                                reason["value"].is_number() ? fmt::format("{:.4g}", reason["value"].get<double>())
                                                            : "undefined",
                                reason["log_odds"].get<double>());
    }
    return text;
}

Json json_of(Verdict const& verdict)
{
    return {{"trace", verdict.name},      {"track", verdict.track},         {"windows", verdict.windows},
            {"highest", verdict.highest}, {"threshold", verdict.threshold}, {"alerts", verdict.alerts}};
}

} // namespace undercroft::analysis
