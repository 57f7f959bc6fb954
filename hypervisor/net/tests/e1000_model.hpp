// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A small model of the PRO/1000 cards, written from the datasheets: reset, rings, head and tail,
// "descriptor done". Register numbers are given as numbers, on purpose.
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "hypervisor/core/mmio.hpp"

namespace undercroft::net {

/// What kind of card it is.
struct E1000Kind {
    std::uint16_t device;
    bool pci_express;
    unsigned eerd_done_bit, eerd_address_shift;
    bool loads_address;      ///< a reset loads the MAC address from the EEPROM
    bool keeps_missed_count; ///< MPC is not cleared by reading (it never counts then)
};
inline constexpr E1000Kind kind_82574l{0x10D3, true, 1, 2, true, false};
inline constexpr E1000Kind kind_82540em{0x100E, false, 4, 8, true, false};
inline constexpr E1000Kind kind_82545em{0x100F, false, 4, 8, true, false};
/// As Bochs has it: after a reset all registers but a few are 0, the address too; odd ones are ignored.
inline constexpr E1000Kind kind_bochs{0x100E, false, 4, 8, false, true};

struct E1000Model final : core::MmioBus {
    E1000Kind kind;
    std::map<std::uint64_t, std::uint32_t> registers;
    std::vector<std::vector<std::uint8_t>> transmitted;
    unsigned loads = 0, stores = 0, resets = 0;
    bool frozen = false; ///< transmits nothing

    explicit E1000Model(E1000Kind const& its_kind = kind_82574l) : kind{its_kind} { power_on(); }
    void power_on()
    {
        registers.clear();
        registers[0x08] = 0x80080783; // STATUS: full duplex, link up, 1000 Mb/s, GIO master enabled
        if (!kind.loads_address)
            return;
        registers[0x5400] = 0x12005452;
        registers[0x5404] = 0x80005634; // 52:54:00:12:34:56, valid
    }

    std::uint64_t load(std::uint64_t offset, unsigned width) override
    {
        ++loads;
        if (width != 4)
            std::abort();
        std::uint32_t const value = registers[offset];
        if ((offset == 0x4010 && !kind.keeps_missed_count) || offset == 0xC0) // MPC and ICR clear on read
            registers[offset] = 0;
        return value;
    }

    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        ++stores;
        if (width != 4)
            std::abort();
        registers[offset] = static_cast<std::uint32_t>(value);
        if (offset == 0x00 && (value & (1U << 26)) != 0) {
            ++resets;
            power_on();
        } else if (offset == 0x00) {
            if (kind.pci_express && (value & 4) != 0)
                registers[0x08] &= ~(1U << 19);
            else
                registers[0x08] |= 1U << 19;
        } else if (offset == 0x3818) {
            transmit();
        } else if (offset == 0x14 && (value & 1) != 0) {
            constexpr std::uint16_t words[4] = {0x1100, 0x3322, 0x5544};
            registers[0x14] = (static_cast<std::uint32_t>(words[(value >> kind.eerd_address_shift) & 3]) << 16) |
                              1U << kind.eerd_done_bit;
        }
    }

    std::uint8_t* ring(std::uint64_t base_register) const
    {
        return reinterpret_cast<std::uint8_t*>(registers.at(base_register) |
                                               (static_cast<std::uint64_t>(registers.at(base_register + 4)) << 32));
    }

    void transmit()
    {
        while (!frozen && (registers[0x400] & 2) != 0 && registers[0x3810] != registers[0x3818]) {
            std::uint8_t* const descriptor = ring(0x3800) + 16 * registers[0x3810];
            std::uint64_t address;
            std::uint16_t length;
            std::memcpy(&address, descriptor, 8);
            std::memcpy(&length, descriptor + 8, 2);
            auto const* const bytes = reinterpret_cast<std::uint8_t const*>(address);
            if ((descriptor[11] & 0x0B) != 0x0B)
                std::abort(); // EOP, IFCS, RS
            transmitted.emplace_back(bytes, bytes + length);
            descriptor[12] |= 1;
            registers[0x3810] = (registers[0x3810] + 1) % (registers[0x3808] / 16);
        }
    }

    /// Puts a frame into the next descriptor; `tamper` may then lie about it.
    bool receive(std::vector<std::uint8_t> const& frame, std::function<void(std::uint8_t*)> const& tamper = {})
    {
        if ((registers[0x100] & 2) == 0)
            return false;
        if (registers[0x2810] == registers[0x2818]) {
            registers[0x4010] += kind.keeps_missed_count ? 0 : 1;
            return false;
        }
        std::uint8_t* const descriptor = ring(0x2800) + 16 * registers[0x2810];
        std::uint64_t address;
        std::memcpy(&address, descriptor, 8);
        std::memcpy(reinterpret_cast<void*>(address), frame.data(), frame.size());
        auto const length = static_cast<std::uint16_t>(frame.size());
        std::memcpy(descriptor + 8, &length, 2);
        descriptor[12] = 3;
        descriptor[13] = 0;
        if (tamper)
            tamper(descriptor);
        registers[0x2810] = (registers[0x2810] + 1) % (registers[0x2808] / 16);
        return true;
    }
};

} // namespace undercroft::net
