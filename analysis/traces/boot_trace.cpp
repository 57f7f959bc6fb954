// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/traces/boot_trace.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "analysis/read/error.hpp"
#include "analysis/traces/time_order.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t most_memory_accesses = std::size_t{16} << 20;

TraceKind kind_of(RecordKind kind)
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

Access access_of(RecordRow const& row)
{
    return {.time_ns = row.time_ns,
            .address = row.address,
            .bytes = row.length,
            .entropy = row.entropy,
            .kind = kind_of(row.kind),
            .mapping = mapping_of(row.page_class),
            .source = row.source,
            .flags = row.flags};
}

void for_each_access(Boot const& boot, BootTraceOptions const& options, std::function<void(Access const&)> const& visit)
{
    TimeSurvey survey;
    scan_records(boot, {}, {}, [&](RecordRow const& row) {
        survey.add(row.time_ns);
        return Visit::next;
    });
    std::vector<Access> const memory = options.memory ? memory_of(boot) : std::vector<Access>{};
    std::size_t next = 0;
    TimeOrder order{survey.disorder_ns, [&](Access const& access) {
                        for (; next < memory.size() && memory[next].time_ns < access.time_ns; ++next)
                            visit(memory[next]);
                        visit(access);
                    }};
    Columns const columns{.address = true, .length = true, .source = true, .entropy = true};
    scan_records(boot, columns, {}, [&](RecordRow const& row) {
        Access access = access_of(row);
        if (options.source && row.source != *options.source && !is_note(row.kind))
            access = {.time_ns = row.time_ns, .kind = TraceKind::note}; // it still says where windows begin and end
        order.push(access);
        return Visit::next;
    });
    order.finish();
    for (; next < memory.size(); ++next)
        visit(memory[next]);
}

} // namespace undercroft::analysis
