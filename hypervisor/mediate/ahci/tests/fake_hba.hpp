// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A model of an AHCI HBA, of guest memory with the sensor in its middle, and of an observer that remembers.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/mediate/ahci/mediator.hpp"

namespace undercroft::ahci::fake {

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

/// Registers with the semantics that matter: write-one-to-clear, write-one-to-set, ST, reserved address bits.
class Hba final : public core::MmioBus {
public:
    static constexpr std::uint32_t register_bytes = 0x1100;
    struct Store {
        std::uint64_t offset;
        unsigned width;
        std::uint64_t value;
        bool operator==(Store const&) const = default;
    };

    Hba()
    {
        at(hba::cap) = hba::cap_64_bit | 0x40001f00;
        at(hba::ghc) = 0x80000000;
        at(hba::pi) = 0xffffffff;
    }
    std::uint32_t& at(std::uint64_t offset) { return registers_[offset / 4]; }
    std::uint32_t& at(unsigned port, std::uint32_t reg) { return at(0x100 + port * 0x80ULL + reg); }

    std::uint64_t load(std::uint64_t offset, unsigned width) override
    {
        loads.push_back(offset);
        std::uint64_t value = 0;
        if (offset + width <= sizeof(registers_))
            std::memcpy(&value, reinterpret_cast<char*>(registers_) + offset, width);
        return value;
    }
    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        stores.push_back({offset, width, value});
        if (on_store)
            on_store(stores.back());
        for (unsigned i = 0; i < width; ++i)
            store_byte(offset + i, static_cast<std::uint8_t>(value >> i * 8));
    }
    /// The device has done the slots' work.
    void complete(unsigned port, std::uint32_t slots)
    {
        at(port, px::ci) &= ~slots;
        at(port, px::sact) &= ~slots;
        at(port, px::is) |= 1;
        at(hba::is) |= 1U << port;
    }

    std::vector<Store> stores;
    std::vector<std::uint64_t> loads;
    std::function<void(Store const&)> on_store;

private:
    void store_byte(std::uint64_t offset, std::uint8_t value)
    {
        if (offset >= sizeof(registers_))
            return;
        unsigned const shift = offset % 4 * 8;
        std::uint32_t const bits = static_cast<std::uint32_t>(value) << shift;
        std::uint32_t const mask = 0xffU << shift;
        std::uint32_t& reg = at(offset);
        if (offset < 0x100) {
            if (offset / 4 == hba::is / 4)
                reg &= ~bits;
            else if (offset / 4 == hba::ghc / 4)
                store_ghc(mask, bits);
            return;
        }
        unsigned const port = static_cast<unsigned>((offset - 0x100) / 0x80);
        switch ((offset % 0x80) & ~3ULL) {
        case px::is:
        case 0x30:
            reg &= ~bits;
            break;
        case px::ci:
            if ((at(port, px::cmd) & 1) != 0)
                reg |= bits;
            break;
        case px::sact:
            reg |= bits;
            break;
        case px::clb:
            reg = ((reg & ~mask) | bits) & ~0x3ffU;
            break;
        case px::fb:
            reg = ((reg & ~mask) | bits) & ~0xffU;
            break;
        case px::cmd:
            reg = (reg & ~mask) | bits;
            if ((reg & 1) == 0)
                at(port, px::ci) = at(port, px::sact) = 0;
            break;
        default:
            reg = (reg & ~mask) | bits;
        }
    }
    void store_ghc(std::uint32_t mask, std::uint32_t bits)
    {
        at(hba::ghc) = ((at(hba::ghc) & ~mask) | bits) & ~1U;
        if ((bits & 1) == 0)
            return;
        for (unsigned p = 0; p < 32; ++p)
            at(p, px::cmd) = at(p, px::ci) = at(p, px::sact) = at(p, px::is) = 0;
    }

    std::uint32_t registers_[register_bytes / 4]{};
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
            if (memory_->read(extent.address, part))
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

} // namespace undercroft::ahci::fake
