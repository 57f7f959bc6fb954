// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The driver's side of a split virtqueue (VIRTIO 1.2, 2.7) whose buffers take one descriptor
// each. The device is not trusted: what it returns is bounded, and an id that it does not
// hold, or more than it was given, breaks the queue until the device is reset.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace undercroft::net {

class Virtqueue {
public:
    static constexpr std::uint16_t max_size = 256;
    /// Memory that a queue of `size` takes, zeroed, aligned to 16 bytes.
    static constexpr std::size_t bytes(std::uint16_t size) { return used_offset(size) + 6 + 8UZ * size + 2; }

    struct Returned {
        std::uint16_t id;
        std::uint32_t bytes; ///< that the device says it has written
    };

    /// An empty queue in `memory`; size is a power of two, at most max_size. `event_index`: VIRTIO_F_EVENT_IDX is
    /// agreed.
    void set_up(std::byte* memory, std::uint16_t size, bool event_index);
    [[nodiscard]] std::uint16_t size() const { return size_; }
    /// Physical addresses of the three areas.
    [[nodiscard]] std::uint64_t descriptor_area() const;
    [[nodiscard]] std::uint64_t driver_area() const;
    [[nodiscard]] std::uint64_t device_area() const;

    /// A buffer number that the device does not hold, below size(); nothing: it holds all.
    [[nodiscard]] std::optional<std::uint16_t> take();
    /// Gives the device what take() or returned() gave. It sees it after publish().
    void offer(std::uint16_t id, void const* buffer, std::uint32_t bytes, bool device_writes);
    [[nodiscard]] std::uint16_t unpublished() const { return static_cast<std::uint16_t>(offered_ - published_); }
    /// True: the device wants to be told.
    [[nodiscard]] bool publish();
    /// What the device has finished with, in its order. The caller has the id then, to offer or release it.
    [[nodiscard]] std::optional<Returned> returned();
    /// Puts back an id for take().
    void release(std::uint16_t id) { free_[free_count_++] = id; }
    /// The device has broken the rules: nothing is returned any more.
    [[nodiscard]] bool broken() const { return broken_; }

private:
    /// virtq_desc, 2.7.5.
    struct Descriptor {
        std::uint64_t address;
        std::uint32_t length;
        std::uint16_t flags, next;
    };
    /// virtq_used_elem, 2.7.8.
    struct UsedElement {
        std::uint32_t id, length;
    };
    static constexpr std::size_t available_offset(std::uint16_t size) { return sizeof(Descriptor) * size; }
    static constexpr std::size_t used_offset(std::uint16_t size)
    {
        return (available_offset(size) + 6 + 2UZ * size + 3) & ~std::size_t{3};
    }
    /// Fields of virtq_avail (flags, idx, ring, used_event) and virtq_used (flags, idx, ring, avail_event).
    [[nodiscard]] std::uint16_t volatile& available(std::size_t index) const;
    [[nodiscard]] std::uint16_t volatile& used(std::size_t byte) const;
    [[nodiscard]] std::nullopt_t fail();

    std::byte* memory_ = nullptr;
    std::uint16_t size_ = 0;
    bool event_index_ = false;
    bool broken_ = false;
    std::uint16_t offered_ = 0;   ///< buffers given so far, modulo 65,536
    std::uint16_t published_ = 0; ///< of these, seen by the device
    std::uint16_t returned_ = 0;  ///< buffers taken back so far
    std::uint16_t free_count_ = 0;
    std::array<std::uint16_t, max_size> free_{};
    std::array<bool, max_size> held_{}; ///< by the device
};

} // namespace undercroft::net
