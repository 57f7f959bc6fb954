// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/system_memory.hpp"

#include <algorithm>

namespace undercroft::core {

bool SystemMemory::configure(boot::BootInfo const& info)
{
    std::size_t const given = info.memory_ranges;
    if (given > ram_.size())
        return false;
    std::copy_n(info.memory, given, ram_.begin());
    std::sort(ram_.begin(), ram_.begin() + static_cast<std::ptrdiff_t>(given),
              [](auto const& a, auto const& b) { return a.start < b.start; });
    for (std::size_t i = 0; i < given; ++i) {
        boot::MemoryRange const range = ram_[i];
        if (ranges_ != 0 && ram_[ranges_ - 1].start + ram_[ranges_ - 1].bytes == range.start)
            ram_[ranges_ - 1].bytes += range.bytes;
        else
            ram_[ranges_++] = range;
    }
    return protect(Gpa{info.region_start}, info.region_bytes);
}

bool SystemMemory::protect(Gpa at, std::uint64_t bytes)
{
    if (own_ranges_ == own_.size())
        return false;
    own_[own_ranges_++] = {at.value, bytes};
    return true;
}

bool SystemMemory::in_range(std::size_t index, std::uint64_t at, std::uint64_t bytes) const
{
    boot::MemoryRange const& range = ram_[index];
    std::uint64_t const inside = at - range.start; // huge below the range
    return inside <= range.bytes && bytes <= range.bytes - inside;
}

bool SystemMemory::is_ram(std::uint64_t at, std::uint64_t bytes) const
{
    if (!reachable(Gpa{at}, bytes))
        return false;
    if (in_range(last_hit_.load(std::memory_order_relaxed), at, bytes))
        return true;
    auto const* const end = ram_.begin() + ranges_;
    auto const* const after =
        std::upper_bound(ram_.begin(), end, at, [](std::uint64_t a, auto const& range) { return a < range.start; });
    if (after == ram_.begin())
        return false;
    auto const index = static_cast<std::size_t>(after - 1 - ram_.begin());
    if (!in_range(index, at, bytes))
        return false;
    last_hit_.store(index, std::memory_order_relaxed);
    return true;
}

bool SystemMemory::read(Gpa from, std::span<std::byte> into) const
{
    if (!is_ram(from.value, into.size()))
        return false;
    __builtin_memcpy(into.data(), reinterpret_cast<void const*>(from.value), into.size());
    return true;
}

bool SystemMemory::write(Gpa to, std::span<std::byte const> from)
{
    if (!is_ram(to.value, from.size()))
        return false;
    auto* const writes = device_writes_.load(std::memory_order_acquire);
    memory::WriteTicket const ticket = writes != nullptr ? writes->command_begins() : memory::WriteTicket{0};
    if (writes != nullptr)
        writes->device_will_write(ticket, to, from.size());
    __builtin_memcpy(reinterpret_cast<void*>(to.value), from.data(), from.size());
    if (writes != nullptr)
        writes->command_ended(ticket);
    return true;
}

std::byte const* SystemMemory::view(Gpa at, std::size_t bytes) const
{
    return is_ram(at.value, bytes) ? reinterpret_cast<std::byte const*>(at.value) : nullptr;
}

bool SystemMemory::touches_sensor(Gpa at, std::uint64_t bytes) const
{
    if (at.value + bytes < at.value)
        return true;
    for (std::size_t i = 0; i < own_ranges_; ++i)
        if (at.value < own_[i].start + own_[i].bytes && own_[i].start < at.value + bytes)
            return true;
    return false;
}

} // namespace undercroft::core
