// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/mmio_router.hpp"

#include "base/width.hpp"

namespace undercroft::core {
bool MmioRouter::overlap(Range const& range, Gpa at, std::uint64_t bytes)
{
    if (range.bytes == 0 || bytes == 0)
        return false;
    return at.value <= range.gpa.value ? range.gpa.value - at.value < bytes : at.value - range.gpa.value < range.bytes;
}

MmioRouter::Range MmioRouter::copy(Id id) const
{
    Slot const& slot = slots_[id];
    return {Gpa{slot.gpa.load(std::memory_order_relaxed)}, slot.bytes.load(std::memory_order_relaxed),
            slot.handler.load(std::memory_order_relaxed), slot.readable.load(std::memory_order_relaxed)};
}

bool MmioRouter::free_for(Range const& range, Id except) const
{
    if (range.bytes == 0 || range.bytes - 1 > ~0ULL - range.gpa.value)
        return false;
    for (Id id = 0; id < capacity; ++id)
        if (id != except && overlap(copy(id), range.gpa, range.bytes))
            return false;
    return true;
}

void MmioRouter::store(Id id, Range const& range)
{
    std::uint32_t const before = sequence_.load(std::memory_order_relaxed);
    sequence_.store(before + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    Slot& slot = slots_[id];
    slot.gpa.store(range.gpa.value, std::memory_order_relaxed);
    slot.bytes.store(range.bytes, std::memory_order_relaxed);
    slot.handler.store(range.handler, std::memory_order_relaxed);
    slot.readable.store(range.readable_by_guest, std::memory_order_relaxed);
    sequence_.store(before + 2, std::memory_order_release);
}

template <typename Find>
auto MmioRouter::consistent(Find&& find) const
{
    for (;;) {
        std::uint32_t const before = sequence_.load(std::memory_order_acquire);
        auto const found = find();
        std::atomic_thread_fence(std::memory_order_acquire);
        if (before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before)
            return found;
        __builtin_ia32_pause();
    }
}

std::optional<MmioRouter::Id> MmioRouter::add(Range range)
{
    SpinGuard const guard{lock_};
    if (range.handler == nullptr || !free_for(range, capacity))
        return {};
    for (Id id = 0; id < capacity; ++id) {
        if (copy(id).bytes != 0)
            continue;
        store(id, range);
        return id;
    }
    return {};
}

bool MmioRouter::move(Id id, Gpa to)
{
    SpinGuard const guard{lock_};
    if (id >= capacity || copy(id).bytes == 0)
        return false;
    Range moved = copy(id);
    moved.gpa = to;
    if (!free_for(moved, id))
        return false;
    store(id, moved);
    return true;
}

void MmioRouter::remove(Id id)
{
    SpinGuard const guard{lock_};
    if (id < capacity)
        store(id, {});
}

std::optional<MmioRouter::Range> MmioRouter::range(Id id) const
{
    if (id >= capacity)
        return {};
    Range const found = consistent([&] { return copy(id); });
    return found.bytes == 0 ? std::nullopt : std::optional{found};
}

std::optional<MmioRouter::Route> MmioRouter::lookup(Gpa gpa) const
{
    return consistent([&]() -> std::optional<Route> {
        for (Id id = 0; id < capacity; ++id)
            if (Range const r = copy(id); overlap(r, gpa, 1))
                return Route{r, id, gpa.value - r.gpa.value};
        return {};
    });
}

MmioRouter::Owner MmioRouter::owner(std::uint64_t gpa, unsigned width) const
{
    return consistent([&]() -> Owner {
        for (Id id = 0; id < capacity; ++id) {
            Range const r = copy(id);
            if (!overlap(r, Gpa{gpa}, width))
                continue;
            bool const inside = gpa >= r.gpa.value && width <= r.bytes - (gpa - r.gpa.value);
            return inside ? Owner{Owner::Kind::handler, r.handler, gpa - r.gpa.value}
                          : Owner{Owner::Kind::several, nullptr, 0};
        }
        return {Owner::Kind::elsewhere, nullptr, 0};
    });
}

std::uint64_t MmioRouter::read(std::uint64_t gpa, unsigned width)
{
    Owner const who = owner(gpa, width);
    switch (who.kind) {
    case Owner::Kind::handler:
        return who.handler->read(who.offset, width) & width_mask(width);
    case Owner::Kind::elsewhere:
        return elsewhere_->load(gpa, width) & width_mask(width);
    case Owner::Kind::several:
        break;
    }
    unsigned const half = width / 2; // a single byte has one owner
    std::uint64_t const low = read(gpa, half);
    return low | read(gpa + half, half) << (8 * half);
}

void MmioRouter::write(std::uint64_t gpa, unsigned width, std::uint64_t value)
{
    Owner const who = owner(gpa, width);
    switch (who.kind) {
    case Owner::Kind::handler:
        who.handler->write(who.offset, width, value & width_mask(width));
        return;
    case Owner::Kind::elsewhere:
        elsewhere_->store(gpa, width, value & width_mask(width));
        return;
    case Owner::Kind::several:
        break;
    }
    unsigned const half = width / 2;
    write(gpa, half, value);
    write(gpa + half, half, value >> (8 * half));
}

} // namespace undercroft::core
