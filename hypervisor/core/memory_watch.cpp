// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/memory_watch.hpp"

#include <algorithm>

#include "hypervisor/core/log.hpp"
#include "hypervisor/core/region_size.hpp"
#include "hypervisor/memory/access_engine.hpp"
#include "hypervisor/memory/slot_stream.hpp"
#include "hypervisor/memory/snapshot.hpp"
#include "hypervisor/memory/watch.hpp"
#include "hypervisor/memory/written_engine.hpp"

namespace undercroft::core {
namespace {

template <typename T>
std::span<T> allocate_array(Region& region, std::uint64_t count)
{
    void* const memory = region.allocate(count * sizeof(T));
    return memory == nullptr ? std::span<T>{} : std::span{static_cast<T*>(memory), count};
}

/// RAM in whole pages, as far as the tables reach.
std::span<memory::PageRange> whole_pages(Region& region, SystemMemory const& memory, std::uint64_t limit)
{
    std::span const all = allocate_array<memory::PageRange>(region, memory.ram().size());
    std::size_t count = 0;
    for (boot::MemoryRange const& range : memory.ram()) {
        std::uint64_t const begin = (range.start + page_bytes - 1) & ~(page_bytes - 1);
        std::uint64_t const end = std::min(range.start + range.bytes, limit) & ~(page_bytes - 1);
        if (!all.empty() && begin < end)
            all[count++] = {Gpa{begin}, end - begin};
    }
    return all.first(count);
}

boot::RamExtent extent_of(std::span<memory::PageRange const> ranges)
{
    boot::RamExtent extent{0, ranges.empty() ? 0 : ranges.back().end()};
    for (memory::PageRange const& range : ranges)
        extent.bytes += range.bytes;
    return extent;
}

} // namespace

bool MemoryWatch::set_aside(Region& region, backend::Vendor& vendor, GuestMap& map, TlbShootdown& shootdown,
                            SystemMemory const& memory, paging::TableCapabilities const& host)
{
    std::uint64_t const map_bytes = first_map_bytes(vendor.table_capabilities(), host);
    view_memory_.usable = whole_pages(region, memory, map_bytes);
    boot::RamExtent const ram = extent_of(view_memory_.usable);
    view_memory_.regions = allocate_array<memory::Region>(region, memory::regions_for(ram.end));
    view_memory_.directories = allocate_array<std::uint64_t*>(region, memory::directories_for(ram.end));
    writes_ = allocate_array<std::uint8_t>(region, ram.end / page_bytes);
    std::size_t const pages = monitored_pages(vendor.table_capabilities(), host, ram);
    void* const tables = region.allocate(pages * page_bytes, page_bytes);
    if (ram.bytes == 0 || view_memory_.regions.empty() || view_memory_.directories.empty() || writes_.empty() ||
        tables == nullptr)
        return false;
    pool_ = paging::PagePool{tables, pages};
    if (!vendor.make_monitored_view(region, pool_, shootdown, map_bytes, view_memory_))
        return false;
    view_ = map.monitored();
    return true;
}

std::uint16_t MemoryWatch::lacks(Parts const& parts) const
{
    using namespace wire::memory_lack;
    std::uint16_t missing = view_ == nullptr ? not_configured : std::uint16_t{0};
    if (!parts.vendor->has_nested_access_bits())
        missing |= no_access_bits;
    missing |= no_page_log; // no mode uses it
    if (!parts.vendor->table_capabilities().execute_only)
        missing |= no_execute_only;
    if (!parts.vendor->has_timer())
        missing |= no_timer;
    return missing;
}

void MemoryWatch::build(Region& region, Parts const& parts)
{
    memory::MemoryStream* stream = nullptr;
    if (view_ != nullptr && parts.buffer != nullptr)
        stream = region.make<memory::SlotStream>(*parts.buffer, std::uint64_t{parts.config->memory_buffer_kib} * 1024,
                                                 *parts.clock, parts.key, parts.devices->memory_sending_ticks());
    if (stream == nullptr)
        view_ = nullptr;
    monitor_ = region.make<memory::Monitor>(memory::MonitorParts{.view = view_,
                                                                 .stream = stream,
                                                                 .view_switch = parts.view_switch,
                                                                 .clock = parts.clock,
                                                                 .counters = parts.counters,
                                                                 .missing = lacks(parts)});
    if (view_ == nullptr || monitor_ == nullptr)
        return;
    memory::EngineParts const engine{.view = view_,
                                     .stream = stream,
                                     .memory = parts.memory,
                                     .clock = parts.clock,
                                     .cheapest_exit = &monitor_->cheapest_exit()};
    bool const modes = add_modes(region, engine, parts.cpu_count);
    if (!add_snapshot(region, engine, parts) || !add_watch(region, engine, parts) || !modes)
        log(LogLevel::warning, str("the region has no room for some modes of the memory monitor"));
    std::uint64_t bytes = 0;
    for (memory::PageRange const& range : view_->usable())
        bytes += range.bytes;
    log(LogLevel::info, str("memory monitor: view "), hex(view_->root()), str(", "), dec(bytes >> 20),
        str(" MiB of RAM in "), dec(view_->usable().size()), str(" ranges"));
}

bool MemoryWatch::add_modes(Region& region, memory::EngineParts const& parts, std::uint32_t cpus)
{
    using enum wire::MemoryMode;
    auto* const access_engine = region.make<memory::AccessEngine>(parts, *monitor_);
    auto* const written_engine =
        region.make<memory::WrittenEngine>(parts, *monitor_, writes_, memory::WrittenOptions{.cpus = cpus});
    if (access_engine == nullptr || written_engine == nullptr)
        return false;
    monitor_->add(access, *access_engine);
    monitor_->add(written, *written_engine);
    return true;
}

bool MemoryWatch::add_snapshot(Region& region, memory::EngineParts const& engine, Parts const& parts)
{
    auto* const index = region.make<memory::PageIndex>();
    if (index == nullptr)
        return false;
    for (memory::PageRange const& range : view_->usable())
        if (!index->add(range.begin.value, range.bytes))
            return false;
    auto const bitmap = [&] {
        auto const words =
            allocate_array<memory::PageBitmap::Word>(region, memory::PageBitmap::words_for(index->pages()));
        return words.empty() ? memory::PageBitmap{} : memory::PageBitmap{words.data(), index->pages()};
    };
    memory::PageBitmap const todo = bitmap();
    memory::DirtyLog::Memory const dirty{bitmap(), {bitmap(), bitmap()}};
    std::span const reserve = allocate_array<memory::ReservedPage>(region, snapshot_reserve_pages);
    if (dirty.in_flight[1].pages() == 0 || reserve.empty())
        return false;
    memory::SnapshotOptions options;
    options.access_bits = parts.vendor->has_nested_access_bits();
    options.cpus = parts.cpu_count;
    if (std::uint32_t const rate = parts.devices->memory_rate_kib(); rate != 0)
        options.default_rate_kib_per_s = rate;
    auto* const log = region.make<memory::DirtyLog>(*index, dirty);
    auto* const snapshot = region.make<memory::Snapshot>(engine,
                                                         memory::SnapshotParts{.index = index,
                                                                               .log = log,
                                                                               .targets = parts.devices,
                                                                               .cpus = parts.cpus,
                                                                               .room_maker = parts.devices,
                                                                               .todo = todo,
                                                                               .reserve = reserve},
                                                         options);
    if (log == nullptr || snapshot == nullptr)
        return false;
    log_ = log;
    log_->set_listener(parts.device_writes);
    monitor_->add(wire::MemoryMode::snapshot, *snapshot);
    return true;
}

bool MemoryWatch::add_watch(Region& region, memory::EngineParts const& engine, Parts const& parts)
{
    memory::WatchOptions options;
    options.access_bits = parts.vendor->has_nested_access_bits();
    options.cpus = parts.cpu_count;
    auto* const watch = region.make<memory::Watch>(engine, options);
    if (watch == nullptr)
        return false;
    monitor_->add(wire::MemoryMode::watch, *watch);
    return true;
}

bool MemoryWatch::fault(backend::Exit const& exit, std::uint16_t cpu, Tsc now)
{
    return monitor_ != nullptr && monitor_->fault({.gpa = exit.gpa,
                                                   .read = exit.is_read,
                                                   .write = exit.is_write,
                                                   .fetch = exit.is_fetch,
                                                   .by_page_walk = exit.by_page_walk,
                                                   .cpu = cpu,
                                                   .now = now});
}

wire::ControlResult MemoryWatch::request(wire::MemoryRequest const& request,
                                         std::span<wire::MemoryStatus, wire::memory_modes> statuses)
{
    if (monitor_ == nullptr)
        return wire::ControlResult::not_possible;
    wire::ControlResult const result = monitor_->request(request);
    monitor_->status(statuses);
    return result;
}

} // namespace undercroft::core
