// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/memory/device_writes.hpp"

namespace undercroft::core {

/// GuestMemory over the machine's identity-mapped RAM as the firmware's map describes it.
class SystemMemory final : public GuestMemory {
public:
    /// Takes the RAM ranges (any order) and the sensor's region. False: there are more than fit.
    [[nodiscard]] bool configure(boot::BootInfo const& info);
    /// Adds MMIO of the sensor's own devices to what no device may be aimed at. False: no room.
    [[nodiscard]] bool protect(Gpa at, std::uint64_t bytes);
    /// Beyond `end` the sensor's own tables map nothing; until then nothing is reachable.
    void set_end(std::uint64_t end) { end_ = end; }
    /// Who wants to know what the sensor writes for the guest, from now on.
    void set_device_writes(memory::DeviceWrites& writes) { device_writes_.store(&writes, std::memory_order_release); }
    /// Whether the sensor itself may touch [at, at + bytes): mapped, whatever lies there.
    [[nodiscard]] bool reachable(Gpa at, std::uint64_t bytes) const
    {
        return at.value < end_ && bytes <= end_ - at.value;
    }

    /// RAM as the firmware's map has it: rising, joined.
    [[nodiscard]] std::span<boot::MemoryRange const> ram() const { return std::span{ram_}.first(ranges_); }

    [[nodiscard]] bool read(Gpa from, std::span<std::byte> into) const override;
    [[nodiscard]] bool write(Gpa to, std::span<std::byte const> from) override;
    [[nodiscard]] std::byte const* view(Gpa at, std::size_t bytes) const override;
    [[nodiscard]] bool touches_sensor(Gpa at, std::uint64_t bytes) const override;

private:
    [[nodiscard]] bool is_ram(std::uint64_t at, std::uint64_t bytes) const;
    [[nodiscard]] bool in_range(std::size_t index, std::uint64_t at, std::uint64_t bytes) const;

    std::array<boot::MemoryRange, boot::max_memory_ranges> ram_{}; ///< sorted, joined
    std::size_t ranges_ = 0;
    mutable std::atomic<std::size_t> last_hit_{0}; ///< guests' tables and buffers lie together: tried first
    std::array<boot::MemoryRange, 8> own_{};
    std::size_t own_ranges_ = 0;
    std::atomic<memory::DeviceWrites*> device_writes_{nullptr};
    std::uint64_t end_ = 0;
};

} // namespace undercroft::core
