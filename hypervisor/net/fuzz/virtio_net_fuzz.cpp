// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A virtio device that answers register reads as it likes and writes what it likes into the rings it was given.
#include <cstring>
#include <vector>

#include "hypervisor/net/tests/step_clock.hpp"
#include "hypervisor/net/virtio_net.hpp"

using namespace undercroft;

namespace {

class Input {
public:
    Input(std::uint8_t const* data, std::size_t size) : data_{data}, size_{size} {}
    std::uint8_t byte()
    {
        if (at_ == size_)
            return 0;
        return data_[at_++];
    }
    std::uint16_t word() { return static_cast<std::uint16_t>(byte() | byte() << 8); }
    bool more() const { return at_ < size_; }

private:
    std::uint8_t const* data_;
    std::size_t size_, at_ = 0;
};

/// Registers: what an honest device says, unless the input wants otherwise at that read.
struct Device final : core::MmioBus {
    Input* input;
    std::uint8_t status = 0, lies = 0;
    std::uint64_t areas[2][3]{};
    std::uint16_t select = 0, size[2] = {256, 256};
    std::uint32_t feature_select = 0;

    explicit Device(Input& from) : input{&from} {}
    std::uint64_t load(std::uint64_t at, unsigned width) override
    {
        if (lies != 0 && input->more()) {
            --lies;
            return (input->word() | static_cast<std::uint64_t>(input->word()) << 16) & (~0ULL >> (64 - 8 * width));
        }
        switch (at) {
        case 0x04:
            return feature_select == 0 ? 0xFFFFFFFF : 0x11; // with order_platform
        case 0x12:
            return 2;
        case 0x14:
            return status;
        case 0x18:
            return 256;
        case 0x1E:
            return select & 1;
        default:
            return at < 6 ? 2 : 0xFFFE;
        }
    }
    void store(std::uint64_t at, unsigned, std::uint64_t value) override
    {
        if (at == 0x00)
            feature_select = static_cast<std::uint32_t>(value);
        if (at == 0x14)
            status = static_cast<std::uint8_t>(value);
        if (at == 0x16)
            select = static_cast<std::uint16_t>(value);
        if (at == 0x18)
            size[select & 1] = static_cast<std::uint16_t>(value);
        if (at >= 0x20 && at < 0x38) {
            std::uint64_t& area = areas[select & 1][(at - 0x20) / 8];
            unsigned const shift = (at & 4) * 8;
            area = (area & ~(0xFFFFFFFFULL << shift)) | (value & 0xFFFFFFFF) << shift;
        }
    }
    /// Writes 16 bits somewhere into one of the three areas of a queue.
    void scribble()
    {
        std::uint8_t const where = input->byte();
        unsigned const queue = where & 1, area = (where >> 1) % 3;
        if (areas[queue][area] == 0)
            return;
        std::size_t const bytes[] = {16U * size[queue], 6U + 2U * size[queue], 6U + 8U * size[queue]};
        // The indexes and first elements mostly: that is where something happens.
        std::size_t const offset = (where & 0x80) != 0 ? input->word() % (bytes[area] - 1) : (where >> 3 & 15) * 2U;
        if (offset + 2 > bytes[area])
            return;
        std::uint16_t const value = input->word();
        std::memcpy(reinterpret_cast<std::uint8_t*>(areas[queue][area]) + offset, &value, 2);
    }
};

struct Doorbell final : core::MmioBus {
    std::uint64_t load(std::uint64_t, unsigned) override { __builtin_trap(); }
    void store(std::uint64_t at, unsigned width, std::uint64_t value) override
    {
        if (at + width > 64 || width != 2 || value > 1)
            __builtin_trap();
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    Input input{data, size};
    Device device{input};
    Doorbell doorbell;
    net::StepClock clock;
    std::uint16_t const mtu = (input.byte() & 1) != 0 ? 1500 : 576;
    device.lies = input.byte() & 0x1F;
    // To the byte, so that a step outside is noticed.
    struct alignas(64) Line {
        std::byte bytes[64];
    };
    std::vector<Line> memory((net::VirtioNetMemory::bytes(mtu) + 63) / 64);
    net::VirtioNet nic{{&device, &doorbell, &device, 64, 4, 12},
                       clock,
                       std::as_writable_bytes(std::span{memory}).first(net::VirtioNetMemory::bytes(mtu)),
                       mtu};
    (void)nic.start();
    std::byte const frame[1514]{};
    std::uint64_t sum = 0;
    while (input.more()) {
        switch (std::uint8_t const operation = input.byte(); operation % 8) {
        case 0:
            (void)nic.queue(std::span{frame}.first(input.word() % 1515));
            break;
        case 1:
            nic.kick();
            break;
        case 2:
            for (std::byte const b : nic.receive())
                sum += static_cast<std::uint8_t>(b);
            break;
        case 3:
            device.lies = operation >> 3;
            (void)nic.link_up();
            break;
        case 4:
            (void)nic.take_rx_dropped();
            break;
        default:
            device.scribble();
        }
    }
    nic.stop();
    return sum == ~0ULL ? 1 : 0;
}
