// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Bytes become guest memory and a script of port accesses. The model controller judges by itself: whatever the bus
// master is started on never touches the sensor, and every sector that a disk takes has been shown to the observer with
// these bytes, at this address, before.
#include <cstdlib>
#include <span>

#include "hypervisor/mediate/ide/tests/machine.hpp"

namespace undercroft::ide::fake {
namespace {

class Input {
public:
    explicit Input(std::span<std::uint8_t const> bytes) : rest_{bytes} {}
    [[nodiscard]] bool empty() const { return rest_.empty(); }
    std::uint32_t take(unsigned bytes)
    {
        std::uint32_t value = 0;
        for (unsigned i = 0; i < bytes && !rest_.empty(); ++i, rest_ = rest_.subspan(1))
            value |= static_cast<std::uint32_t>(rest_.front()) << i * 8;
        return value;
    }

private:
    std::span<std::uint8_t const> rest_;
};

void require(bool holds)
{
    if (!holds)
        std::abort();
}

class Fuzzed {
public:
    void run(Input input)
    {
        world_.observer->keep_data = false;
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
    /// Some record of a write must cover the sector.
    bool shown(std::uint64_t lba)
    {
        for (auto const& seen : world_.observer->commands)
            if (seen.command.kind == wire::Kind::storage_write && seen.command.lba.value <= lba &&
                lba < seen.command.lba.value + seen.command.bytes / 512)
                return true;
        return false;
    }
    void step(Input& input)
    {
        unsigned const what = input.take(1), channel = what >> 7;
        Controller::Channel& c = world_.controller.channels[channel];
        switch (what % 8) {
        case 0: { // mostly well-formed tables
            std::uint32_t const at = 0x20000 + input.take(1) * 8;
            world_.memory.put<std::uint32_t>(at, input.take(3) * 2);
            world_.memory.put<std::uint32_t>(at + 4, input.take(2) | (input.take(1) & 1U) << 31);
            world_.out(static_cast<std::uint16_t>(c.bus_master + 4), 0x20000, 4);
            break;
        }
        case 1:
            world_.out(static_cast<std::uint16_t>(c.bus_master), input.take(1) & 9);
            break;
        case 2: {
            unsigned const width = 2U << (input.take(1) & 1);
            std::uint32_t const value = input.take(4);
            for (unsigned i = input.take(1) * 4 + 1; i > 0; --i)
                world_.out(c.command, value + i, width);
            break;
        }
        case 3:
            world_.out(c.control, input.take(1));
            break;
        case 4:
            for (unsigned i = input.take(1) * 2; i > 0; --i)
                static_cast<void>(world_.in(c.command, 2));
            break;
        case 5:
            static_cast<void>(world_.in(static_cast<std::uint16_t>(c.command + 7)));
            break;
        case 6: {
            constexpr std::uint8_t usual[] = {0x30, 0x34, 0xc5, 0x39, 0xca, 0x35, 0xc6, 0x20, 0xc8, 0xec, 0x06, 0x3d};
            world_.out(static_cast<std::uint16_t>(c.command + 6), 0xe0);
            world_.out(static_cast<std::uint16_t>(c.command + 7), usual[input.take(1) % std::size(usual)]);
            break;
        }
        default: {
            unsigned const width = 1U << input.take(1) % 3, reg = 1 + input.take(1) % 7;
            world_.out(static_cast<std::uint16_t>(c.command + reg), input.take(width), reg + width <= 8 ? width : 1);
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
