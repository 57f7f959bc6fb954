// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/virtqueue.hpp"

#include "hypervisor/net/device_access.hpp"

namespace undercroft::net {
namespace {

constexpr std::uint16_t descriptor_device_writes = 2;                               // VIRTQ_DESC_F_WRITE
constexpr std::uint16_t available_no_interrupt = 1;                                 // VIRTQ_AVAIL_F_NO_INTERRUPT
constexpr std::uint16_t used_no_notify = 1;                                         // VIRTQ_USED_F_NO_NOTIFY
constexpr std::size_t used_index = 2, used_ring = 4;                                // bytes
constexpr std::size_t available_flags = 0, available_index = 1, available_ring = 2; // in 16-bit units

} // namespace

std::uint16_t volatile& Virtqueue::available(std::size_t index) const
{
    return reinterpret_cast<std::uint16_t volatile*>(memory_ + available_offset(size_))[index];
}

std::uint16_t volatile& Virtqueue::used(std::size_t byte) const
{
    return *reinterpret_cast<std::uint16_t volatile*>(memory_ + used_offset(size_) + byte);
}

void Virtqueue::set_up(std::byte* memory, std::uint16_t size, bool event_index)
{
    memory_ = memory;
    size_ = size;
    event_index_ = event_index;
    broken_ = false;
    offered_ = published_ = returned_ = free_count_ = 0;
    __builtin_memset(memory, 0, bytes(size));
    held_ = {};
    for (std::uint16_t id = size; id > 0; --id)
        release(static_cast<std::uint16_t>(id - 1));
    if (event_index)
        available(available_ring + size) = 0xFFFF; // used_event: an index that is reached last
    else
        available(available_flags) = available_no_interrupt;
}

std::uint64_t Virtqueue::descriptor_area() const
{
    return physical(memory_);
}

std::uint64_t Virtqueue::driver_area() const
{
    return physical(memory_ + available_offset(size_));
}

std::uint64_t Virtqueue::device_area() const
{
    return physical(memory_ + used_offset(size_));
}

std::optional<std::uint16_t> Virtqueue::take()
{
    if (free_count_ == 0)
        return {};
    return free_[--free_count_];
}

void Virtqueue::offer(std::uint16_t id, void const* buffer, std::uint32_t bytes, bool device_writes)
{
    auto& descriptor = reinterpret_cast<Descriptor volatile*>(memory_)[id];
    descriptor.address = physical(buffer);
    descriptor.length = bytes;
    descriptor.flags = device_writes ? descriptor_device_writes : 0;
    descriptor.next = 0;
    held_[id] = true;
    available(available_ring + offered_ % size_) = id;
    ++offered_;
}

bool Virtqueue::publish()
{
    std::uint16_t const before = published_;
    if (offered_ == before)
        return false;
    compiler_barrier();
    available(available_index) = published_ = offered_;
    full_barrier(); // or both sides could miss the other's last word: 2.7.13.3.1
    if (!event_index_)
        return (used(0) & used_no_notify) == 0;
    // avail_event, 2.7.10: tell when the device's index lies among those just published.
    std::uint16_t const wanted = used(used_ring + sizeof(UsedElement) * size_);
    return static_cast<std::uint16_t>(published_ - wanted - 1) < static_cast<std::uint16_t>(published_ - before);
}

std::nullopt_t Virtqueue::fail()
{
    broken_ = true;
    return std::nullopt;
}

std::optional<Virtqueue::Returned> Virtqueue::returned()
{
    if (broken_)
        return {};
    std::uint16_t const index = used(used_index);
    if (index == returned_)
        return {};
    if (static_cast<std::uint16_t>(index - returned_) > static_cast<std::uint16_t>(published_ - returned_))
        return fail(); // more than it was given
    compiler_barrier();
    auto const* const ring = reinterpret_cast<UsedElement const volatile*>(memory_ + used_offset(size_) + used_ring);
    std::uint32_t const id = ring[returned_ % size_].id;
    std::uint32_t const length = ring[returned_ % size_].length;
    if (id >= size_ || !held_[id])
        return fail();
    held_[id] = false;
    ++returned_;
    if (event_index_) // again the index that is reached last: no interrupts
        available(available_ring + size_) = static_cast<std::uint16_t>(returned_ - 1);
    return Returned{static_cast<std::uint16_t>(id), length};
}

} // namespace undercroft::net
