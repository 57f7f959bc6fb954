// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/info/summary.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "analysis/read/times.hpp"
#include "wire/record.hpp"

namespace undercroft::analysis {

BootSummary summarise(Boot const& boot)
{
    BootSummary summary;
    Columns const columns{
        .address = false, .length = true, .source = true, .entropy = false, .flags = true, .content = true};
    std::int64_t off_since = 0;
    ScanResult const result = scan_records(boot, columns, {}, [&](RecordRow const& row) {
        summary.first_ns = std::min(summary.first_ns.value_or(row.time_ns), row.time_ns);
        summary.last_ns = std::max(summary.last_ns.value_or(row.time_ns), row.time_ns);
        summary.last_sequence = row.sequence;
        if (row.kind == RecordKind::gap) {
            ++summary.gap_rows;
            ((row.flags & gap_in_transit) != 0 ? summary.lost_in_transit : summary.lost_in_sensor) += row.length;
            return Visit::next;
        }
        if (is_note(row.kind)) {
            bool const off = row.kind == RecordKind::capture_off;
            summary.switched_off += off ? 1 : 0;
            if (summary.off_at_end)
                summary.off_ns += row.time_ns - off_since;
            summary.off_at_end = off;
            off_since = row.time_ns;
            return Visit::next;
        }
        KindSummary& kind = summary.kinds[static_cast<std::size_t>(row.kind)];
        ++kind.records;
        kind.requests += (row.flags & wire::record_flag::first_of_request) != 0 ? 1 : 0;
        kind.bytes += row.length;
        ++summary.records;
        ++summary.records_by_source[row.source];
        summary.content_records += row.content != nullptr ? 1 : 0;
        return Visit::next;
    });
    if (summary.off_at_end)
        summary.off_ns += *summary.last_ns - off_since;
    for (Hole const& hole : result.holes)
        summary.unaccounted += hole.count;
    return summary;
}

nlohmann::json to_json(Boot const& boot, BootSummary const& summary)
{
    nlohmann::json kinds = nlohmann::json::object();
    for (std::size_t i = 0; i < summary.kinds.size(); ++i) {
        KindSummary const& kind = summary.kinds[i];
        kinds[std::string{to_string(static_cast<RecordKind>(i))}] = {
            {"records", kind.records}, {"requests", kind.requests}, {"bytes", kind.bytes}};
    }
    nlohmann::json sources = nlohmann::json::object();
    for (auto const& [source, records] : summary.records_by_source)
        sources[std::to_string(source)] = records;
    auto const time = [](std::optional<std::int64_t> ns) {
        return ns ? nlohmann::json(format_time(*ns, 9)) : nlohmann::json{};
    };
    std::uintmax_t bytes = 0;
    for (RecordFile const& file : boot.files)
        bytes += file.bytes;
    return {{"machine", boot.machine},
            {"boot", boot.id},
            {"files", boot.files.size()},
            {"file_bytes", bytes},
            {"unfinished_files", boot.unfinished_files},
            {"first", time(summary.first_ns)},
            {"last", time(summary.last_ns)},
            {"first_ns", summary.first_ns ? nlohmann::json(*summary.first_ns) : nlohmann::json{}},
            {"last_ns", summary.last_ns ? nlohmann::json(*summary.last_ns) : nlohmann::json{}},
            {"last_sequence", summary.last_sequence ? nlohmann::json(*summary.last_sequence) : nlohmann::json{}},
            {"records", summary.records},
            {"kinds", kinds},
            {"records_by_source", sources},
            {"content_records", summary.content_records},
            {"capture_off", {{"times", summary.switched_off}, {"ns", summary.off_ns}, {"at_end", summary.off_at_end}}},
            {"gaps",
             {{"rows", summary.gap_rows},
              {"lost_in_sensor", summary.lost_in_sensor},
              {"lost_in_transit", summary.lost_in_transit},
              {"unaccounted", summary.unaccounted}}},
            {"hello", read_json(boot.folder / "hello.json")},
            {"status", read_json(boot.folder / "status.json")}};
}

} // namespace undercroft::analysis
