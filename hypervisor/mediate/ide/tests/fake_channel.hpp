// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A controller with two channels of two ATA disks each, by ATA/ATAPI-6 and the bus-master interface specification; it
// knows nothing of the mediator. Written sectors are kept with what was known to the observer when they were committed.
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "hypervisor/core/port_io.hpp"
#include "hypervisor/core/port_traps.hpp"
#include "hypervisor/mediate/ata/tests/fakes.hpp"
#include "hypervisor/mediate/ide/prd.hpp"

namespace undercroft::ide::fake {

using ata::fake::Memory;
using ata::fake::Observer;

struct Disk {
    bool present = true;
    bool ready = true;
    std::uint32_t sector_bytes = 512;
    std::uint8_t multiple = 0;
    std::array<std::uint8_t, 8> now{}, before{}; ///< each register's value and the one before
    std::array<std::uint8_t, 512> identify{};
    std::map<std::uint64_t, std::vector<std::uint8_t>> sectors;
    std::vector<std::uint8_t> commands; ///< opcodes taken

    // Of the command under way.
    std::uint8_t status = 0x50;
    std::vector<std::uint8_t> buffer;
    std::size_t at = 0;
    std::uint64_t lba = 0;
    std::uint32_t left = 0;  ///< sectors
    std::uint32_t block = 1; ///< sectors per PIO block
    bool writing = false, dma = false;
};

class Controller final : public core::PortIo {
public:
    struct Channel {
        std::uint16_t command, control, bus_master;
        std::array<Disk, 2> disks;
        std::uint8_t device_control = 0, bm_command = 0, bm_status = 0;
        std::uint32_t bm_table = 0;
    };
    std::array<Channel, 2> channels{{{0x1f0, 0x3f6, 0xc000, {}, 0, 0, 0, 0}, {0x170, 0x376, 0xc008, {}, 0, 0, 0, 0}}};
    bool high_order_readable = true;                                    ///< Bochs's disks do not know the HOB bit
    bool hold_dma = false;                                              ///< DMA commands stay under way
    std::function<void(Channel&, std::vector<PrdEntry> const&)> on_dma; ///< what the bus master is about to do
    std::function<void(std::uint64_t lba)> on_commit;                   ///< a sector is about to be the disk's
    /// Physical memory as the bus master sees it, the sensor's included.
    std::function<bool(std::uint64_t address, void* into, std::size_t bytes)> bus_read;
    std::vector<std::uint16_t> stores, loads;

    std::uint32_t load(std::uint16_t port, unsigned width) override
    {
        loads.push_back(port);
        for (Channel& c : channels) {
            if (port >= c.command && port < c.command + 8)
                return port == c.command ? data_in(c, width) : load_register(c, port - c.command);
            if (port == c.control)
                return status(c);
            if (port >= c.bus_master && port < c.bus_master + 8)
                return load_bus_master(c, port - c.bus_master);
        }
        return 0xffffffff;
    }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        stores.push_back(port);
        for (Channel& c : channels) {
            if (port == c.command)
                return data_out(c, width, value);
            if (port > c.command && port < c.command + 8)
                return store_register(c, port - c.command, static_cast<std::uint8_t>(value));
            if (port == c.control)
                return store_control(c, static_cast<std::uint8_t>(value));
            if (port >= c.bus_master && port < c.bus_master + 8)
                return store_bus_master(c, port - c.bus_master, width, value);
        }
    }
    [[nodiscard]] Disk& selected(Channel& c) { return c.disks[c.disks[0].now[6] >> 4 & 1]; }

private:
    [[nodiscard]] std::uint8_t status(Channel& c)
    {
        Disk const& disk = selected(c);
        return disk.present ? static_cast<std::uint8_t>(disk.ready ? disk.status : disk.status & ~0x40) : 0;
    }
    std::uint32_t load_register(Channel& c, unsigned reg)
    {
        if (reg == 7)
            return status(c);
        Disk const& disk = selected(c);
        bool const high = high_order_readable && (c.device_control & 0x80) != 0 && reg != 6;
        return reg == 1 ? 0 : high ? disk.before[reg] : disk.now[reg];
    }
    void store_register(Channel& c, unsigned reg, std::uint8_t value)
    {
        c.device_control &= 0x7f;
        if (reg == 7)
            return take(c, value);
        if (reg != 6 && (status(c) & 0x88) != 0)
            return;
        for (Disk& disk : c.disks) {
            disk.before[reg] = disk.now[reg];
            disk.now[reg] = value;
        }
    }
    void store_control(Channel& c, std::uint8_t value)
    {
        if ((value & 4) != 0)
            for (Disk& disk : c.disks) {
                disk.status = 0x50;
                disk.left = 0, disk.dma = disk.writing = false;
                disk.multiple = 0;
            }
        c.device_control = value;
    }
    void take(Channel& c, std::uint8_t opcode)
    {
        Disk& d = selected(c);
        if (!d.present || (d.status & 0x88) != 0)
            return;
        d.commands.push_back(opcode);
        bool const wide = opcode == 0x24 || opcode == 0x25 || opcode == 0x29 || opcode == 0x34 || opcode == 0x35 ||
                          opcode == 0x39 || opcode == 0x3d || opcode == 0x06;
        std::uint64_t const low = d.now[3] | d.now[4] << 8 | d.now[5] << 16;
        d.lba = wide ? low | std::uint64_t{d.before[3]} << 24 | std::uint64_t{d.before[4]} << 32 |
                           std::uint64_t{d.before[5]} << 40
                     : low | std::uint64_t{d.now[6] & 0xfU} << 24;
        std::uint32_t const count = wide ? d.now[2] | d.before[2] << 8 : d.now[2];
        d.left = count != 0 ? count : wide ? 65536 : 256;
        d.writing = false;
        switch (opcode) {
        case 0xec:
            d.buffer.assign(d.identify.begin(), d.identify.end());
            d.left = 0, d.at = 0, d.status = 0x58;
            break;
        case 0xc6:
            d.multiple = d.now[2];
            break;
        case 0x20:
        case 0x24:
        case 0x29:
        case 0xc4:
            fill(d, opcode == 0xc4 || opcode == 0x29 ? d.multiple : 1);
            break;
        case 0x30:
        case 0x34:
            want(d, 1);
            break;
        case 0x39:
        case 0xc5:
            want(d, d.multiple);
            break;
        case 0x35:
        case 0x3d:
        case 0xca:
        case 0x06:
            d.writing = true;
            [[fallthrough]];
        case 0x25:
        case 0xc8:
            d.dma = true, d.status = 0xd0;
            run_dma(c);
            break;
        default:
            break;
        }
    }
    void fill(Disk& d, std::uint32_t block)
    {
        d.block = block;
        std::uint32_t const n = std::min(d.left, block);
        d.buffer.assign(std::size_t{n} * d.sector_bytes, 0x11);
        d.left -= n;
        d.at = 0, d.status = 0x58;
    }
    void want(Disk& d, std::uint32_t block)
    {
        d.writing = true;
        d.block = block;
        d.buffer.assign(std::size_t{std::min(d.left, block)} * d.sector_bytes, 0);
        d.at = 0, d.status = 0x58;
    }
    std::uint32_t data_in(Channel& c, unsigned width)
    {
        Disk& d = selected(c);
        std::uint32_t value = 0;
        if ((d.status & 8) == 0 || d.writing || width == 1)
            return 0x5a5a5a5a;
        std::memcpy(&value, d.buffer.data() + d.at, width);
        d.at += width;
        if (d.at >= d.buffer.size()) {
            d.status = 0x50;
            if (d.left != 0)
                fill(d, d.block);
        }
        return value;
    }
    void data_out(Channel& c, unsigned width, std::uint32_t value)
    {
        Disk& d = selected(c);
        if ((d.status & 8) == 0 || !d.writing || width == 1)
            return;
        std::memcpy(d.buffer.data() + d.at, &value, std::min<std::size_t>(width, d.buffer.size() - d.at));
        d.at += width;
        if (d.at < d.buffer.size())
            return;
        commit(d, d.buffer);
        d.status = 0x50;
        if (d.left != 0)
            want(d, d.block);
    }
    void commit(Disk& d, std::vector<std::uint8_t> const& bytes)
    {
        for (std::size_t at = 0; at + d.sector_bytes <= bytes.size() && d.left != 0; at += d.sector_bytes) {
            if (on_commit)
                on_commit(d.lba);
            d.sectors[d.lba++] = {bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(at + d.sector_bytes)};
            --d.left;
        }
    }
    std::uint32_t load_bus_master(Channel& c, unsigned offset)
    {
        return offset == 0 ? c.bm_command : offset == 2 ? c.bm_status : offset == 4 ? c.bm_table : 0;
    }
    void store_bus_master(Channel& c, unsigned offset, unsigned width, std::uint32_t value)
    {
        if (offset == 4 && width == 4)
            c.bm_table = value & ~3U;
        else if (offset == 2)
            c.bm_status = static_cast<std::uint8_t>((c.bm_status & 1) | (value & 0x60));
        if (offset != 0)
            return;
        bool const starts = (value & 1) != 0 && (c.bm_command & 1) == 0;
        c.bm_command = static_cast<std::uint8_t>(value & 9);
        if ((value & 1) == 0)
            c.bm_status &= 0xfe;
        if (!starts)
            return;
        c.bm_status |= 1;
        run_dma(c);
    }
    void run_dma(Channel& c)
    {
        if ((c.bm_status & 1) == 0)
            return;
        std::vector<PrdEntry> entries;
        for (std::uint64_t at = c.bm_table; entries.size() < 16384; at += 8) {
            PrdEntry entry;
            if (!bus_read || !bus_read(at, &entry, sizeof(entry)))
                break;
            entries.push_back(entry);
            if (entry.last())
                break;
        }
        if (on_dma)
            on_dma(c, entries);
        Disk& d = selected(c);
        if (!d.dma || hold_dma)
            return;
        std::vector<std::uint8_t> bytes;
        std::size_t const wanted = std::size_t{d.left} * d.sector_bytes;
        for (PrdEntry const& entry : entries) {
            if (bytes.size() >= wanted)
                break;
            std::vector<std::uint8_t> part(entry.bytes());
            if (d.writing && !bus_read(entry.address, part.data(), part.size()))
                break;
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        c.bm_status &= 0xfe;
        if (d.writing)
            commit(d, {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), wanted))});
        if (d.writing && d.left != 0)
            return; // waits for more
        d.dma = false;
        d.status = 0x50;
    }
};

} // namespace undercroft::ide::fake
