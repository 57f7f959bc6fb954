// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/port_router.hpp"

#include "base/width.hpp"

namespace undercroft::core {
namespace {

struct Range {
    std::uint32_t first, count;
    explicit Range(std::uint32_t packed) : first{packed & 0xffff}, count{packed >> 16} {}
    [[nodiscard]] bool overlaps(std::uint32_t port, unsigned width) const
    {
        return port < first + count && first < port + width;
    }
};

} // namespace

std::optional<PortRouter::Id> PortRouter::add(std::uint16_t first, unsigned count, PortHandler& handler)
{
    if (count == 0 || count > 0xffff || first + count > 0x10000 || owns(first, count))
        return {};
    for (Id id = 0; id < capacity; ++id) {
        PortHandler* const holder = slots_[id].handler.load(std::memory_order_relaxed);
        if (slots_[id].range.load(std::memory_order_relaxed) != 0 || (holder != nullptr && holder != &handler))
            continue;
        slots_[id].handler.store(&handler, std::memory_order_relaxed);
        slots_[id].range.store(first | count << 16, std::memory_order_release);
        return id;
    }
    return {};
}

void PortRouter::remove(Id id)
{
    if (id < capacity)
        slots_[id].range.store(0, std::memory_order_release);
}

bool PortRouter::owns(std::uint32_t port, unsigned width) const
{
    for (Slot const& slot : slots_)
        if (Range{slot.range.load(std::memory_order_acquire)}.overlaps(port, width))
            return true;
    return false;
}

PortRouter::Owner PortRouter::owner(std::uint32_t port, unsigned width) const
{
    for (Slot const& slot : slots_) {
        Range const range{slot.range.load(std::memory_order_acquire)};
        if (!range.overlaps(port, width))
            continue;
        if (port < range.first || port + width > range.first + range.count)
            return {nullptr, 0, true};
        return {slot.handler.load(std::memory_order_relaxed), static_cast<std::uint16_t>(range.first), false};
    }
    return {};
}

std::uint32_t PortRouter::read(std::uint32_t port, unsigned width)
{
    Owner const who = owner(port, width);
    if (who.handler != nullptr)
        return static_cast<std::uint32_t>(truncate(who.handler->port_read(who.first, port - who.first, width), width));
    if (!who.several)
        return elsewhere_->load(static_cast<std::uint16_t>(port), width);
    unsigned const half = width / 2; // a single byte has one owner
    std::uint32_t const low = read(port, half);
    return low | read(port + half, half) << 8 * half;
}

void PortRouter::write(std::uint32_t port, unsigned width, std::uint32_t value)
{
    Owner const who = owner(port, width);
    if (who.handler != nullptr)
        return who.handler->port_write(who.first, port - who.first, width,
                                       static_cast<std::uint32_t>(truncate(value, width)));
    if (!who.several)
        return elsewhere_->store(static_cast<std::uint16_t>(port), width, value);
    unsigned const half = width / 2;
    write(port, half, static_cast<std::uint32_t>(truncate(value, half)));
    write(port + half, half, value >> 8 * half);
}

} // namespace undercroft::core
