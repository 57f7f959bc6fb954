// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A model of an AHCI HBA.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/mediate/ahci/mediator.hpp"
#include "hypervisor/mediate/ata/tests/fakes.hpp"

namespace undercroft::ahci::fake {

using ata::fake::Memory;
using ata::fake::Observer;

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

} // namespace undercroft::ahci::fake
