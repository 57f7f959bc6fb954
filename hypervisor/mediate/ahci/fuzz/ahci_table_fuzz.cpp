// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Bytes become guest memory (sparse: written at addresses that tables may point to) and a script of
// register writes. A model device judges each forwarded PxCI by itself: nothing it could do touches the sensor.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "hypervisor/mediate/ahci/tests/fake_hba.hpp"
#include "hypervisor/mediate/ata/tests/fuzz_input.hpp"
#include "hypervisor/mediate/ata/trim.hpp"

namespace undercroft::ahci::fake {
namespace {

using ata::fake::Input;
using ata::fake::require;

/// Counts what a command hands over; more than its sectors hold must never come.
class BoundedObserver final : public observe::DiskObserver {
public:
    void observe(observe::DiskCommand const& command, observe::ExtentSource& data) override
    {
        require(command.bytes <= 65536ULL * 32768);
        require(++commands <= 32 * ata::TrimRanges::max_ranges);
        observe::Extent extent{};
        std::uint64_t total = 0;
        while (command.kind == wire::Kind::storage_write && data.next(extent)) {
            require(extent.bytes != 0);
            total += extent.bytes;
        }
        require(total <= command.bytes);
    }
    void describe(std::uint16_t, std::uint16_t sector, std::uint64_t, char const (&)[40], char const (&)[20]) override
    {
        require(sector >= 512 && sector % 512 == 0);
    }
    std::uint64_t commands = 0; ///< of one register write
};

class Fuzzed {
public:
    void run(Input input)
    {
        hba_.at(hba::cap) = input.take(1) % 4 == 0 ? 0 : hba::cap_64_bit;
        for (unsigned port = 0; port < 2; ++port) {
            hba_.at(port, px::clb) = 0x1000 + port * 0x400;
            hba_.at(port, px::fb) = 0x3000 + port * 0x1000;
            hba_.at(port, px::cmd) = px::cmd_start | px::cmd_fis_receive;
        }
        hba_.on_store = [this](Hba::Store const& s) { judge_store(s); };
        mediator_.adopt();
        for (unsigned steps = 0; steps < 64 && !input.empty(); ++steps)
            step(input);
    }

private:
    void step(Input& input)
    {
        observer_.commands = 0;
        switch (input.take(1) % 8) {
        case 0:
            put_command(input);
            break;
        case 1:
            memory_.put(input.take(2) * 8 + 0x1000, input.take(8));
            break;
        case 2:
            hba_.complete(input.take(1) % 2, static_cast<std::uint32_t>(input.take(4)));
            break;
        case 3:
            mediator_.index_data_write(input.take(1) % 8, 1U << input.take(1) % 3,
                                       static_cast<std::uint32_t>(input.take(4)));
            break;
        case 4:
            holding_ = input.take(1) % 4 != 0;
            mediator_.set_hold(holding_);
            break;
        default: {
            unsigned const width = 1U << input.take(1) % 4;
            std::uint64_t const offset = input.take(2) % (Hba::register_bytes - 8);
            mediator_.write(offset, width, input.take(width));
            static_cast<void>(mediator_.read(offset, width));
        }
        }
    }
    /// A header with its table, mostly well formed so that the fuzzer gets past the first checks.
    void put_command(Input& input)
    {
        std::uint64_t const header = 0x1000 + input.take(1) * 32;
        std::uint64_t const table = 0x8000 + input.take(1) * 0x1000;
        std::uint32_t const entries = static_cast<std::uint32_t>(input.take(2));
        memory_.put<std::uint32_t>(header, (entries << 16) | static_cast<std::uint32_t>(input.take(2)));
        memory_.put<std::uint64_t>(header + 8, table);
        memory_.put<std::uint64_t>(table, 0x8027 | input.take(6) << 16);
        memory_.put<std::uint64_t>(table + 8, input.take(8));
        auto const pieces = static_cast<unsigned>(input.take(1) % 8);
        for (unsigned i = 0; i < pieces; ++i) {
            memory_.put<std::uint64_t>(table + 0x80 + i * 16, input.take(4));
            memory_.put<std::uint64_t>(table + 0x88 + i * 16, input.take(3) << 32);
        }
    }
    /// The device's view: every slot it may start now, read from the tables as they are.
    void judge_store(Hba::Store const& s)
    {
        for (unsigned port = 0; port < 32; ++port) {
            std::uint64_t const at = 0x100 + port * 0x80ULL + px::ci;
            if (s.offset + s.width <= at || s.offset >= at + 4 || (hba_.at(port, px::cmd) & px::cmd_start) == 0)
                continue;
            std::uint64_t const bits = s.offset >= at ? s.value << (s.offset - at) * 8 : s.value >> (at - s.offset) * 8;
            for (unsigned slot = 0; slot < 32; ++slot)
                if ((bits >> slot & 1) != 0)
                    judge_slot(port, slot);
        }
    }
    /// WRITE SECTORS and DMA, with and without EXT, FUA and FPDMA QUEUED.
    static bool is_write(std::byte const* fis, std::uint64_t dwords)
    {
        constexpr unsigned opcodes[] = {0x30, 0x34, 0x35, 0x3d, 0x61, 0xca};
        return dwords != 0 && fis[0] == std::byte{0x27} && (fis[1] & std::byte{0x80}) != std::byte{0} &&
               std::ranges::find(opcodes, std::to_integer<unsigned>(fis[2])) != std::end(opcodes);
    }
    void judge_slot(unsigned port, unsigned slot)
    {
        bool const wide = (hba_.at(hba::cap) & hba::cap_64_bit) != 0;
        std::uint64_t const mask = wide ? ~0ULL : 0xffffffffULL;
        std::uint64_t const list =
            (hba_.at(port, px::clb) | static_cast<std::uint64_t>(hba_.at(port, px::clbu)) << 32) & mask;
        require(memory_.is_ram(Gpa{list + slot * 32}, 32));
        std::uint64_t header[2];
        std::memcpy(header, memory_.raw(list + slot * 32), 16);
        std::uint64_t const table = header[1] & mask;
        require(memory_.is_ram(Gpa{table}, 128));
        require(!holding_ || !is_write(memory_.raw(table), header[0] & 0x1f));
        for (std::uint64_t i = 0; i < (header[0] >> 16 & 0xffff); ++i) {
            std::uint64_t const at = table + 128 + i * 16;
            if (!memory_.is_ram(Gpa{at}, 16)) // then what came before must have been enough for the device
                break;
            std::uint64_t entry[2];
            std::memcpy(entry, memory_.raw(at), 16);
            require(!memory_.touches_sensor(Gpa{entry[0] & mask}, (entry[1] >> 32 & 0x3fffff) + 1));
        }
    }

    bool holding_ = false;
    Memory memory_;
    Hba hba_;
    BoundedObserver observer_;
    core::Counters counters_;
    static inline LargeTable large_; // 1 MiB, never read before it is written
    AhciMediator mediator_{0, Hba::register_bytes, hba_, memory_, observer_, counters_, large_};
};

} // namespace
} // namespace undercroft::ahci::fake

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    undercroft::ahci::fake::Fuzzed{}.run(undercroft::ahci::fake::Input{{data, size}});
    return 0;
}
