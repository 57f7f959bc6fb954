// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Requests to the memory monitor as a hostile key holder sends them, between accesses of a guest's CPUs, exits and
// ticks. The guest must always get on, devices must stay trapped, and after a stop all RAM has all rights.
#include <memory>

#include "hypervisor/memory/access_engine.hpp"
#include "hypervisor/memory/tests/engine_rig.hpp"
#include "hypervisor/memory/written_engine.hpp"
#include "hypervisor/paging/npt_format.hpp"

namespace {

using namespace undercroft;
using namespace undercroft::memory;
using namespace undercroft::memory::testing;

constexpr std::uint64_t device = 256 * mib;

class Input {
public:
    Input(std::uint8_t const* data, std::size_t size) : data_{data}, left_{size} {}
    [[nodiscard]] bool empty() const { return left_ == 0; }
    std::uint64_t take(unsigned bytes)
    {
        std::uint64_t value = 0;
        for (unsigned i = 0; i < bytes && left_ != 0; ++i, --left_)
            value = value << 8 | *data_++;
        return value;
    }

private:
    std::uint8_t const* data_;
    std::size_t left_;
};

wire::MemoryRequest request_from(Input& input)
{
    wire::MemoryRequest request{};
    request.mode = static_cast<std::uint16_t>(input.take(1) % 6);
    request.action = static_cast<std::uint16_t>(input.take(1) % 4);
    std::uint64_t const fields = input.take(1);
    if ((fields & 1) != 0)
        request.flags = static_cast<std::uint16_t>(input.take(2));
    if ((fields & 2) != 0)
        request.period_us = static_cast<std::uint32_t>(input.take(4));
    if ((fields & 4) != 0)
        request.every_turns = static_cast<std::uint32_t>(input.take(4));
    if ((fields & 8) != 0) {
        request.range_begin = input.take(4) * 4096;
        request.range_bytes = input.take(3) * 4096;
    }
    if ((fields & 16) != 0)
        request.range_bytes = input.take(8);
    if ((fields & 32) != 0)
        request.thin = static_cast<std::uint32_t>(input.take(4));
    if ((fields & 64) != 0)
        request.delay_depth = static_cast<std::uint16_t>(input.take(2));
    if ((fields & 128) != 0)
        request.delay_ms = static_cast<std::uint16_t>(input.take(2));
    return request;
}

template <typename Format>
void play(Input input)
{
    auto const rig = std::make_unique<EngineRig<Format>>();
    std::vector<std::uint8_t> writes((gib + 8 * mib) / 4096);
    AccessEngine access{rig->parts(), rig->monitor};
    auto const written = std::make_unique<WrittenEngine>(rig->parts(), rig->monitor, writes);
    rig->monitor.add(wire::MemoryMode::access, access);
    rig->monitor.add(wire::MemoryMode::written, *written);
    if (!rig->rig.map.set_rights(Gpa{device}, 4096, paging::rights_read, paging::rights_all))
        std::abort();
    while (!input.empty()) {
        std::uint64_t const what = input.take(1);
        auto const cpu = static_cast<std::uint16_t>(what >> 4 & 3);
        std::uint64_t gpa = input.take(2) % 7552 * 4096;
        gpa = gpa < 640 * 1024 || (gpa >= mib && gpa < 24 * mib) ? gpa : gib + gpa % (6 * mib);
        switch (what % 8) {
        case 0:
            (void)rig->monitor.request(request_from(input));
            break;
        case 1:
            rig->read(gpa, cpu);
            break;
        case 2:
            rig->write(gpa, cpu);
            break;
        case 3:
            rig->execute(gpa, cpu);
            break;
        case 4: // an instruction that an interrupt takes the CPU from
            (void)rig->attempt(gpa, paging::rights_read_write, cpu);
            ++rig->positions[cpu];
            break;
        case 5:
            rig->pass_ms(what >> 3);
            break;
        case 6:
            rig->monitor.after_exit(cpu, rig->clock.now);
            break;
        default:
            rig->stream.full = (what & 8) != 0;
            break;
        }
        rig->stream.records.clear();
    }
    if (Walker<Format>::walk(rig->rig.root(), device, paging::rights_none, false).rights != paging::rights_read)
        std::abort();
    (void)rig->request(wire::MemoryMode::none, wire::MemoryAction::stop, [](auto&) {});
    for (PageRange const& range : rig->rig.ram)
        for (std::uint64_t at = range.begin.value; at < range.end(); at += 64 * 4096)
            if (rig->rig.view.judge(Gpa{at}, paging::rights_all) != FaultCause::allowed)
                std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    if (size > 2048)
        return 0;
    play<paging::NptFormat>({data, size});
    play<paging::EptFormat>({data, size});
    return 0;
}
