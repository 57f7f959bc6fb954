// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Bytes become guest memory and a script of port accesses. The model controller judges by itself: whatever the bus
// master is started on never touches the sensor, and a sector that a disk takes was recorded just before.
#include <cstdlib>
#include <span>

#include "hypervisor/mediate/ata/tests/fuzz_input.hpp"
#include "hypervisor/mediate/ide/tests/machine.hpp"

namespace undercroft::ide::fake {
namespace {

using ata::fake::Input;
using ata::fake::require;

class Fuzzed {
public:
    void run(Input input)
    {
        world_.observer->keep_data = false;
        world_.controller.keep_sectors = false;
        world_.controller.on_dma = [this](Controller::Channel&, std::vector<PrdEntry> const& entries) {
            require(!entries.empty() && entries.back().last());
            for (PrdEntry const& entry : entries)
                require(!world_.memory.touches_sensor(Gpa{entry.address}, entry.bytes()));
        };
        world_.controller.on_commit = [this](std::uint64_t lba) { require(shown(lba)); };
        for (unsigned steps = 0; steps < 200 && !input.empty(); ++steps)
            step(input);
    }

private:
    /// The latest record must be a write that covers the sector.
    bool shown(std::uint64_t lba)
    {
        if (world_.observer->commands.empty())
            return false;
        observe::DiskCommand const& last = world_.observer->commands.back().command;
        return last.kind == wire::Kind::storage_write && last.lba.value <= lba &&
               lba < last.lba.value + last.bytes / 512;
    }
    void step(Input& input)
    {
        unsigned const what = input.take<std::uint32_t>(1), channel = what >> 7;
        Controller::Channel& c = world_.controller.channels[channel];
        switch (what % 8) {
        case 0: { // mostly well-formed tables
            std::uint32_t const at = 0x20000 + input.take<std::uint32_t>(1) * 8;
            world_.memory.put<std::uint32_t>(at, input.take<std::uint32_t>(3) * 2);
            world_.memory.put<std::uint32_t>(at + 4, input.take<std::uint32_t>(2) | (input.take<std::uint32_t>(1) & 1U)
                                                                                        << 31);
            world_.out(static_cast<std::uint16_t>(c.bus_master + 4), 0x20000, 4);
            break;
        }
        case 1:
            world_.out(static_cast<std::uint16_t>(c.bus_master), input.take<std::uint32_t>(1) & 9);
            break;
        case 2: {
            unsigned const width = 2U << (input.take<std::uint32_t>(1) & 1);
            std::uint32_t const value = input.take<std::uint32_t>(4);
            for (unsigned i = input.take<std::uint32_t>(1) * 4 + 1; i > 0; --i)
                world_.out(c.command, value + i, width);
            break;
        }
        case 3:
            world_.out(c.control, input.take<std::uint32_t>(1));
            break;
        case 4:
            for (unsigned i = input.take<std::uint32_t>(1) * 2; i > 0; --i)
                static_cast<void>(world_.in(c.command, 2));
            break;
        case 5:
            static_cast<void>(world_.in(static_cast<std::uint16_t>(c.command + 7)));
            break;
        case 6: {
            constexpr std::uint8_t usual[] = {0x30, 0x34, 0xc5, 0x39, 0xca, 0x35, 0xc6, 0x20, 0xc8, 0xec, 0x06, 0x3d};
            world_.out(static_cast<std::uint16_t>(c.command + 6), 0xe0);
            world_.out(static_cast<std::uint16_t>(c.command + 7),
                       usual[input.take<std::uint32_t>(1) % std::size(usual)]);
            break;
        }
        default: {
            unsigned const width = 1U << input.take<std::uint32_t>(1) % 3, reg = 1 + input.take<std::uint32_t>(1) % 7;
            world_.out(static_cast<std::uint16_t>(c.command + reg), input.take<std::uint32_t>(width),
                       reg + width <= 8 ? width : 1);
        }
        }
    }

    World world_;
};

} // namespace
} // namespace undercroft::ide::fake

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    undercroft::ide::fake::Fuzzed{}.run(undercroft::ide::fake::Input{{data, size}});
    return 0;
}
