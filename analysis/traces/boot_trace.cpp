// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/boot_trace.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/traces/access_scan.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t most_memory_accesses = std::size_t{16} << 20;

MappingClass mapping_of(std::uint8_t page_class)
{
    return page_class == 1 || page_class == 2 || page_class == 4 ? static_cast<MappingClass>(page_class)
                                                                 : MappingClass::none;
}

/// Memory accesses of the boot, by time.
std::vector<Access> memory_of(Boot const& boot)
{
    std::vector<Access> accesses;
    Columns const columns{.address = true, .length = true, .entropy = true, .page_class = true};
    scan_records(boot.memory_files, columns, {}, [&](RecordRow const& row) {
        if (!is_memory_access(row.kind))
            return Visit::next;
        if (accesses.size() == most_memory_accesses)
            throw Error{fmt::format("boot {} has more than {} memory accesses: choose fewer boots or another set",
                                    boot.id, most_memory_accesses)};
        accesses.push_back(access_of(row));
        return Visit::next;
    });
    std::ranges::sort(accesses, {},
                      [](Access const& access) { return std::tuple{access.time_ns, access.kind, access.address}; });
    return accesses;
}

} // namespace

TraceKind trace_kind(RecordKind kind)
{
    switch (kind) {
    case RecordKind::read:
        return TraceKind::read;
    case RecordKind::write:
        return TraceKind::write;
    case RecordKind::flush:
        return TraceKind::flush;
    case RecordKind::trim:
        return TraceKind::trim;
    case RecordKind::gap:
        return TraceKind::gap;
    case RecordKind::memory_read:
        return TraceKind::memory_read;
    case RecordKind::memory_write:
        return TraceKind::memory_write;
    case RecordKind::memory_read_write:
        return TraceKind::memory_read_write;
    case RecordKind::memory_execute:
        return TraceKind::memory_execute;
    default:
        return TraceKind::note;
    }
}

Access access_of(RecordRow const& row)
{
    return {.time_ns = row.time_ns,
            .address = row.address,
            .bytes = row.length,
            .entropy = row.entropy,
            .kind = trace_kind(row.kind),
            .mapping = mapping_of(row.page_class),
            .source = row.source,
            .flags = row.flags};
}

void for_each_access(Boot const& boot, BootTraceOptions const& options,
                     std::function<void(std::span<Access const>)> const& visit)
{
    if (!options.memory)
        return scan_accesses(boot.files, options.source, visit);
    std::vector<Access> const memory = memory_of(boot);
    auto next = memory.begin();
    scan_accesses(boot.files, options.source, [&](std::span<Access const> accesses) {
        for (Access const& access : accesses) {
            auto const earlier =
                std::find_if(next, memory.end(), [&](Access const& other) { return other.time_ns >= access.time_ns; });
            if (earlier != next)
                visit({next, earlier});
            next = earlier;
            visit({&access, 1});
        }
    });
    if (next != memory.end())
        visit({next, memory.end()});
}

} // namespace undercroft::analysis
