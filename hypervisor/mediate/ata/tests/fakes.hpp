// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Guest memory with the sensor in its middle, and an observer that remembers; for mediators' tests.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/observe/disk_command.hpp"

namespace undercroft::ata::fake {

/// RAM at [0, ram_bytes) without the sensor's range. 4 KiB aligned in the host.
class Memory final : public core::GuestMemory {
public:
    static constexpr std::uint64_t ram_bytes = 8U << 20;
    static constexpr std::uint64_t sensor_begin = 4U << 20;
    static constexpr std::uint64_t sensor_end = 5U << 20;

    // calloc leaves untouched pages unmapped, so that a fuzzer can have a machine per input.
    Memory() : ram_{static_cast<std::byte*>(std::calloc(ram_bytes + 4096, 1)), &std::free}
    {
        auto const at = reinterpret_cast<std::uintptr_t>(ram_.get());
        base_ = ram_.get() + (4096 - at % 4096) % 4096;
    }
    bool read(Gpa from, std::span<std::byte> into) const override
    {
        if (!is_ram(from, into.size()))
            return false;
        std::memcpy(into.data(), base_ + from.value, into.size());
        if (on_access)
            on_access(from, into.size());
        return true;
    }
    bool write(Gpa to, std::span<std::byte const> from) const
    {
        if (!is_ram(to, from.size()))
            return false;
        std::memcpy(base_ + to.value, from.data(), from.size());
        return true;
    }
    bool write(Gpa to, std::span<std::byte const> from) override { return std::as_const(*this).write(to, from); }
    std::byte const* view(Gpa at, std::size_t bytes) const override
    {
        if (!is_ram(at, bytes))
            return nullptr;
        if (on_access)
            on_access(at, bytes);
        return base_ + at.value;
    }
    bool touches_sensor(Gpa at, std::uint64_t bytes) const override
    {
        if (at.value + bytes < at.value)
            return true;
        return at.value < sensor_end && at.value + bytes > sensor_begin;
    }
    [[nodiscard]] bool is_ram(Gpa at, std::uint64_t bytes) const
    {
        return at.value <= ram_bytes && bytes <= ram_bytes - at.value && !touches_sensor(at, bytes);
    }
    /// The test's own access: no hook, no checks.
    [[nodiscard]] std::byte* raw(std::uint64_t at) { return base_ + at; }
    template <typename T>
    void put(std::uint64_t at, T value)
    {
        std::memcpy(raw(at), &value, sizeof(value));
    }

    mutable std::function<void(Gpa, std::uint64_t)> on_access;

private:
    std::unique_ptr<std::byte, decltype(&std::free)> ram_;
    std::byte* base_;
};

class Observer final : public observe::DiskObserver {
public:
    struct Seen {
        observe::DiskCommand command;
        std::vector<std::byte> data;
        std::uint64_t extents = 0;
        std::uint64_t bytes = 0; ///< offered by the extents, readable or not
    };
    explicit Observer(Memory const& memory) : memory_{&memory} {}

    void observe(observe::DiskCommand const& command, observe::ExtentSource& data) override
    {
        Seen seen{command, {}, 0, 0};
        observe::Extent extent{};
        while (command.kind == wire::Kind::storage_write && data.next(extent)) {
            ++seen.extents;
            seen.bytes += extent.bytes;
            if (!keep_data)
                continue;
            std::vector<std::byte> part(extent.bytes);
            if (extent.captured != nullptr)
                seen.data.insert(seen.data.end(), extent.captured, extent.captured + extent.bytes);
            else if (memory_->read(extent.address, part))
                seen.data.insert(seen.data.end(), part.begin(), part.end());
        }
        commands.push_back(std::move(seen));
    }
    void describe(std::uint16_t source, std::uint16_t sector, std::uint64_t capacity, char const (&model)[40],
                  char const (&serial)[20]) override
    {
        descriptions.push_back({source, sector, capacity, std::string(model, 40), std::string(serial, 20)});
    }

    struct Description {
        std::uint16_t source, sector;
        std::uint64_t capacity;
        std::string model, serial;
    };
    std::vector<Seen> commands;
    std::vector<Description> descriptions;
    bool keep_data = true;

private:
    Memory const* memory_;
};

} // namespace undercroft::ata::fake
