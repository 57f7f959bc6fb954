// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A machine for the mediator's tests: memory, HBA, mediator, and tables laid out as drivers lay them out.
#include <gtest/gtest.h>

#include <initializer_list>

#include "hypervisor/mediate/ahci/tests/fake_hba.hpp"

namespace undercroft::ahci::fake {

struct Piece {
    std::uint64_t address;
    std::uint32_t bytes;
};

class Machine : public testing::Test {
protected:
    static constexpr std::uint64_t table_stride = 0x3000;

    void SetUp() override
    {
        for (unsigned port = 0; port < 2; ++port)
            bring_up(port);
        hba.stores.clear();
        hba.loads.clear();
    }

    static std::uint64_t list(unsigned port) { return 0x10000 + port * 0x400ULL; }
    static std::uint64_t received(unsigned port) { return 0x14000 + port * 0x1000ULL; }
    static std::uint64_t table(unsigned port, unsigned slot) { return 0x20000 + (port * 32ULL + slot) * table_stride; }

    /// As Linux's ahci_start_engine and its predecessors do.
    void bring_up(unsigned port)
    {
        mediator.adopt();
        reg(port, px::clbu, 0);
        reg(port, px::clb, static_cast<std::uint32_t>(list(port)));
        reg(port, px::fbu, 0);
        reg(port, px::fb, static_cast<std::uint32_t>(received(port)));
        reg(port, px::cmd, px::cmd_fis_receive | 6);
        reg(port, px::cmd, px::cmd_fis_receive | px::cmd_start | 6);
    }
    static std::uint64_t offset(unsigned port, std::uint32_t r) { return 0x100 + port * 0x80ULL + r; }
    void reg(unsigned port, std::uint32_t r, std::uint32_t value) { mediator.write(offset(port, r), 4, value); }

    void header(unsigned port, unsigned slot, std::uint32_t flags, std::uint32_t entries)
    {
        std::uint64_t const at = list(port) + slot * 32ULL;
        memory.put<std::uint32_t>(at, flags | entries << 16);
        memory.put<std::uint32_t>(at + 4, 0);
        memory.put<std::uint64_t>(at + 8, table(port, slot));
    }
    void prdt(unsigned port, unsigned slot, std::vector<Piece> const& pieces)
    {
        std::uint64_t at = table(port, slot) + 0x80;
        for (Piece const& p : pieces) {
            memory.put<std::uint64_t>(at, p.address);
            memory.put<std::uint64_t>(at + 8, static_cast<std::uint64_t>(p.bytes - 1) << 32);
            at += 16;
        }
    }
    /// A register FIS as the fields of the ATA standards; `device` as written by Linux's ata_build_rw_tf.
    struct Fis {
        std::uint8_t command = 0;
        std::uint16_t features = 0;
        std::uint64_t lba = 0;
        std::uint16_t count = 0;
        std::uint8_t device = 0x40;
        std::uint8_t auxiliary = 0;
    };
    void fis(unsigned port, unsigned slot, Fis const& f)
    {
        std::uint8_t const b[20] = {0x27,
                                    0x80,
                                    f.command,
                                    static_cast<std::uint8_t>(f.features),
                                    static_cast<std::uint8_t>(f.lba),
                                    static_cast<std::uint8_t>(f.lba >> 8),
                                    static_cast<std::uint8_t>(f.lba >> 16),
                                    f.device,
                                    static_cast<std::uint8_t>(f.lba >> 24),
                                    static_cast<std::uint8_t>(f.lba >> 32),
                                    static_cast<std::uint8_t>(f.lba >> 40),
                                    static_cast<std::uint8_t>(f.features >> 8),
                                    static_cast<std::uint8_t>(f.count),
                                    static_cast<std::uint8_t>(f.count >> 8),
                                    0,
                                    0,
                                    f.auxiliary,
                                    0,
                                    0,
                                    0};
        std::memcpy(memory.raw(table(port, slot)), b, sizeof(b));
    }
    static constexpr std::uint32_t write_bit = 1U << 6;
    void build(unsigned port, unsigned slot, Fis const& f, std::vector<Piece> const& pieces, std::uint32_t flags = 5)
    {
        header(port, slot, flags, static_cast<std::uint32_t>(pieces.size()));
        fis(port, slot, f);
        prdt(port, slot, pieces);
    }
    /// NCQ command of `sectors` as Linux builds it: count in Features, tag in Count 7:3.
    void build_ncq(unsigned port, unsigned slot, bool write, std::uint64_t lba, std::uint32_t sectors,
                   std::vector<Piece> const& pieces)
    {
        build(port, slot,
              {.command = static_cast<std::uint8_t>(write ? 0x61 : 0x60),
               .features = static_cast<std::uint16_t>(sectors),
               .lba = lba,
               .count = static_cast<std::uint16_t>(slot << 3)},
              pieces, write ? 5 | write_bit : 5);
    }
    void issue_ncq(unsigned port, std::uint32_t slots)
    {
        reg(port, px::sact, slots);
        reg(port, px::ci, slots);
    }
    void fill(std::uint64_t at, std::size_t bytes, unsigned seed)
    {
        for (std::size_t i = 0; i < bytes; ++i)
            memory.raw(at)[i] = static_cast<std::byte>((i * 7 + seed + i / 251) & 0xff);
    }
    std::vector<std::byte> bytes_at(std::uint64_t at, std::size_t bytes)
    {
        return {memory.raw(at), memory.raw(at) + bytes};
    }
    std::uint64_t counter(wire::CounterId id) const { return counters.get(id); }

    Memory memory;
    Hba hba;
    Observer observer{memory};
    core::Counters counters;
    std::unique_ptr<LargeTable> large = std::make_unique<LargeTable>();
    AhciMediator mediator{3,      Hba::register_bytes,         hba, memory, observer, counters,
                          *large, {.fingerprint_seed = 0x5eed}};
};

} // namespace undercroft::ahci::fake
