// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/export/memory_rows.hpp"

#include <iterator>

#include <fmt/format.h>

#include "wire/record.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::string_view zero_entropy = "-0.0"; // as for ata_write.csv

std::string entropy_of(RecordRow const& row, std::string const* data)
{
    if ((row.flags & wire::record_flag::zero_content) != 0)
        return std::string{zero_entropy};
    return entropy_text(row, data, ExportFormat::ransmap).whole;
}

} // namespace

std::optional<std::size_t> memory_file_of(RecordKind kind)
{
    if (!is_memory_access(kind))
        return std::nullopt;
    return static_cast<std::size_t>(kind) - static_cast<std::size_t>(RecordKind::memory_read);
}

void append_memory_line(std::string& out, RecordRow const& row, std::string const* data, TimeScale scale)
{
    SplitTime const time = split_time(row.time_ns, scale);
    bool const write = row.kind == RecordKind::memory_write || row.kind == RecordKind::memory_read_write;
    bool const mmio = row.page_class == static_cast<std::uint8_t>(wire::PageClass::mmio);
    std::string tail = "0,-1";
    if (write && mmio)
        tail = fmt::format("0,{}", zero_entropy);
    else if (write)
        tail = "4096," + entropy_of(row, data);
    fmt::format_to(std::back_inserter(out), "{},{:>10},{},{},{}\n", time.seconds, time.rest, row.address, tail,
                   row.page_class);
}

} // namespace undercroft::analysis
