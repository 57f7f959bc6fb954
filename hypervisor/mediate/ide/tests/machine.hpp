// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory, controller and mediator, and a guest that reaches for ports: those that are trapped lead to the mediator.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <span>

#include "hypervisor/mediate/ide/mediator.hpp"
#include "hypervisor/mediate/ide/tests/fake_channel.hpp"

namespace undercroft::ide::fake {

class Traps final : public core::PortTraps {
public:
    void trap_ports(std::uint16_t first, unsigned count, bool on) override
    {
        for (unsigned i = 0; i < count; ++i)
            on ? static_cast<void>(ports.insert(static_cast<std::uint16_t>(first + i)))
               : static_cast<void>(ports.erase(static_cast<std::uint16_t>(first + i)));
    }
    [[nodiscard]] bool any(std::uint16_t port, unsigned width) const
    {
        for (unsigned i = 0; i < width; ++i)
            if (ports.contains(static_cast<std::uint16_t>(port + i)))
                return true;
        return false;
    }
    std::set<std::uint16_t> ports;
};

/// The parts without GoogleTest, for the fuzzer too.
class World {
public:
    static constexpr std::uint32_t own_tables = Memory::sensor_begin + 0x20000;

    World()
    {
        for (unsigned i = 0; i < 2; ++i)
            tables[i] = {.table = own[i].get(), .bus_address = own_tables + i * 0x10000};
        controller.bus_read = [this](std::uint64_t at, void* into, std::size_t bytes) {
            return read_bus(at, into, bytes);
        };
        mediator = std::make_unique<IdeMediator>(std::uint8_t{2}, controller, memory, *observer, counters, tables);
        mediator->set_traps(traps);
        for (unsigned i = 0; i < 2; ++i) {
            auto const& c = controller.channels[i];
            mediator->set_ports(i, {c.command, c.control, c.bus_master});
            traps.trap_ports(c.command, 8, true);
            traps.trap_ports(c.control, 1, true);
            traps.trap_ports(c.bus_master, 1, true);
            traps.trap_ports(static_cast<std::uint16_t>(c.bus_master + 4), 4, true);
        }
    }
    explicit World(observe::DiskObserver& other) : World() { replace_observer(other); }
    void replace_observer(observe::DiskObserver& other)
    {
        mediator = std::make_unique<IdeMediator>(std::uint8_t{2}, controller, memory, other, counters, tables);
        mediator->set_traps(traps);
        for (unsigned i = 0; i < 2; ++i)
            mediator->set_ports(
                i, {controller.channels[i].command, controller.channels[i].control, controller.channels[i].bus_master});
    }

    void out(std::uint16_t port, std::uint32_t value, unsigned width = 1)
    {
        ++accesses;
        if (!traps.any(port, width))
            return controller.store(port, width, value);
        ++exits;
        access(port, [&](unsigned channel, IdeMediator::Block block, std::uint16_t base) {
            mediator->write(channel, block, base, port - base, width, value);
        });
    }
    std::uint32_t in(std::uint16_t port, unsigned width = 1)
    {
        ++accesses;
        if (!traps.any(port, width))
            return controller.load(port, width);
        ++exits;
        std::uint32_t value = 0;
        access(port, [&](unsigned channel, IdeMediator::Block block, std::uint16_t base) {
            value = mediator->read(channel, block, base, port - base, width);
        });
        return value;
    }
    std::uint64_t counter(wire::CounterId id) const { return counters.get(id); }

    Memory memory;
    Controller controller;
    std::unique_ptr<Observer> observer = std::make_unique<Observer>(memory);
    core::Counters counters;
    Traps traps;
    std::array<std::unique_ptr<PrdTable>, 2> own{std::make_unique<PrdTable>(), std::make_unique<PrdTable>()};
    TableMemories tables;
    std::unique_ptr<IdeMediator> mediator;
    unsigned accesses = 0, exits = 0;

private:
    template <typename Visit>
    void access(std::uint16_t port, Visit visit)
    {
        for (unsigned i = 0; i < 2; ++i) {
            auto const& c = controller.channels[i];
            if (port >= c.command && port < c.command + 8)
                return visit(i, IdeMediator::Block::command, c.command);
            if (port == c.control)
                return visit(i, IdeMediator::Block::control, c.control);
            if (port >= c.bus_master && port < c.bus_master + 8)
                return visit(i, IdeMediator::Block::bus_master, c.bus_master);
        }
    }
    bool read_bus(std::uint64_t at, void* into, std::size_t bytes)
    {
        for (unsigned i = 0; i < 2; ++i)
            if (at >= tables[i].bus_address && at + bytes <= tables[i].bus_address + sizeof(PrdTable)) {
                std::memcpy(into, reinterpret_cast<char const*>(tables[i].table) + (at - tables[i].bus_address), bytes);
                return true;
            }
        if (at > Memory::ram_bytes || bytes > Memory::ram_bytes - at)
            return false;
        std::memcpy(into, memory.raw(at), bytes);
        return true;
    }
};

struct Region {
    std::uint32_t address;
    std::uint32_t bytes;
};

class Machine : public testing::Test, protected World {
protected:
    static constexpr std::uint32_t guest_table = 0x30000;

    /// Registers in the order of Linux's ata_sff_tf_load.
    struct Command {
        std::uint8_t opcode;
        std::uint64_t lba = 0;
        std::uint32_t count = 1;
        bool wide = false;
        unsigned drive = 0;
        std::uint8_t features = 0;
    };
    void send(unsigned channel, Command const& c)
    {
        std::uint16_t const base = controller.channels[channel].command;
        auto const reg = [&](unsigned r, std::uint64_t value) {
            out(static_cast<std::uint16_t>(base + r), static_cast<std::uint8_t>(value));
        };
        if (c.wide) {
            reg(1, 0), reg(2, c.count >> 8), reg(3, c.lba >> 24), reg(4, c.lba >> 32), reg(5, c.lba >> 40);
        }
        reg(1, c.features), reg(2, c.count), reg(3, c.lba), reg(4, c.lba >> 8), reg(5, c.lba >> 16);
        reg(6, 0xe0 | c.drive << 4 | (c.wide ? 0 : c.lba >> 24 & 0xf));
        reg(7, c.opcode);
    }
    void put_table(std::vector<Region> const& regions, std::uint32_t at = guest_table)
    {
        for (std::size_t i = 0; i < regions.size(); ++i, at += 8) {
            memory.put<std::uint32_t>(at, regions[i].address);
            memory.put<std::uint32_t>(at + 4,
                                      (regions[i].bytes & 0xffff) | (i + 1 == regions.size() ? 0x80000000U : 0));
        }
    }
    std::uint16_t bm(unsigned channel, unsigned offset)
    {
        return static_cast<std::uint16_t>(controller.channels[channel].bus_master + offset);
    }
    void start(unsigned channel, bool to_memory, std::uint32_t table = guest_table)
    {
        out(bm(channel, 4), table, 4);
        out(bm(channel, 0), to_memory ? 8 : 0);
        out(bm(channel, 0), to_memory ? 9 : 1);
    }
    void stop(unsigned channel) { out(bm(channel, 0), 0); }
    std::uint8_t status(unsigned channel)
    {
        return static_cast<std::uint8_t>(in(controller.channels[channel].command + 7U));
    }
    std::uint16_t data(unsigned channel) { return controller.channels[channel].command; }
    Disk& disk(unsigned channel, unsigned drive = 0) { return controller.channels[channel].disks[drive]; }

    void fill(std::uint64_t at, std::size_t bytes, unsigned seed)
    {
        for (std::size_t i = 0; i < bytes; ++i)
            memory.raw(at)[i] = static_cast<std::byte>((i * 7 + seed + i / 251) & 0xff);
    }
    /// What the observer was given for [lba, lba + n) in the order of commands must be what the disk holds.
    void expect_replay(unsigned channel, unsigned drive = 0)
    {
        std::map<std::uint64_t, std::vector<std::uint8_t>> replayed;
        std::uint32_t const size = disk(channel, drive).sector_bytes;
        for (Observer::Seen const& seen : observer->commands) {
            if (seen.command.kind != wire::Kind::storage_write ||
                seen.command.source != (2U << 8 | channel * 2 | drive))
                continue;
            ASSERT_EQ(seen.data.size(), seen.command.bytes);
            for (std::uint64_t at = 0; at < seen.command.bytes; at += size) {
                auto const* const from = reinterpret_cast<std::uint8_t const*>(seen.data.data()) + at;
                replayed[(seen.command.lba.value * 512 + at) / size] = {from, from + size};
            }
        }
        EXPECT_EQ(replayed, disk(channel, drive).sectors);
    }
};

} // namespace undercroft::ide::fake
