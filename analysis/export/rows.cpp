// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/export/rows.hpp"

#include <cmath>
#include <iterator>
#include <span>

#include <fmt/format.h>

#include "analysis/export/entropy.hpp"
#include "analysis/export/java_number.hpp"
#include "analysis/read/content.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::uint32_t row_bytes = 4096;
constexpr std::uint32_t row_sectors = row_bytes / 512;

} // namespace

SplitTime split_time(std::int64_t time_ns, TimeScale scale)
{
    auto const time = static_cast<std::uint64_t>(time_ns);
    std::uint64_t const rest = time % second_ns;
    return {.seconds = time / second_ns, .rest = scale == TimeScale::ns ? rest : (rest << 30) / second_ns};
}

EntropyText entropy_text(RecordRow const& row, std::string const* data, ExportFormat format)
{
    if (data != nullptr) {
        std::span const bytes{reinterpret_cast<std::uint8_t const*>(data->data()), data->size()};
        return {.whole = java_text(shannon_share(bytes)), .parts = java_text(mean_part_entropy(bytes))};
    }
    if (std::isnan(row.entropy))
        return {.whole = format == ExportFormat::ransmap ? "-1" : "NaN", .parts = "0.0"};
    return {.whole = row.entropy == 0 ? "-0.0" : java_text(row.entropy), .parts = "0.0"};
}

std::uint64_t append_ata_lines(std::string& out, RecordRow const& row, std::string const* data, ExportFormat format,
                               TimeScale scale)
{
    bool const write = row.kind == RecordKind::write;
    if (!write && row.kind != RecordKind::read)
        return 0;
    SplitTime const time = split_time(row.time_ns, scale);
    std::string tail;
    if (write) {
        EntropyText const entropy = entropy_text(row, data, format);
        tail = format == ExportFormat::ransap ? "," + entropy.whole + "," + entropy.parts : "," + entropy.whole + ",0";
    } else if (format == ExportFormat::ransmap) {
        tail = ",-1,0";
    }
    std::uint64_t lines = 0;
    std::uint64_t lba = row.address;
    for (std::uint32_t left = row.length; left > 0; lba += row_sectors, ++lines) {
        std::uint32_t const bytes = std::min(left, row_bytes);
        if (format == ExportFormat::ransap)
            fmt::format_to(std::back_inserter(out), "{},{},{},{}{}\n", time.seconds, time.rest, lba, bytes, tail);
        else
            fmt::format_to(std::back_inserter(out), "{},{:>10},{},{}{}\n", time.seconds, time.rest, lba, bytes, tail);
        left -= bytes;
    }
    return lines;
}

void append_csv_line(std::string& out, RecordRow const& row)
{
    fmt::format_to(std::back_inserter(out), "{},{},{}T{}Z,{},{},{},{},{},{},{}\n", row.sequence, row.time_ns,
                   format_date(row.time_ns), format_clock(row.time_ns, 9), to_string(row.kind), row.address, row.length,
                   row.source, std::isnan(row.entropy) ? "" : java_text(row.entropy), row.flags,
                   row.content != nullptr ? to_hex(*row.content) : "");
}

} // namespace undercroft::analysis
