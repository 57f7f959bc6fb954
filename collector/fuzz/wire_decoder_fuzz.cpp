// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Everything after the seal: decoding, assembly, ordering. The input is a series of datagrams, each a 16-bit
// length and that many bytes; magic, version, sizes and identity are put right so that the rest is reached.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "collector/ingest/assembly.hpp"

namespace {

using namespace undercroft;
using namespace undercroft::collector;

/// Checks what every user of the assembly relies on.
class CheckingSink final : public SlotSink {
public:
    bool append(BootKey const&, Slot const& slot) override
    {
        bool const ordered = first_ || (slot.number > last_.number && slot.first_sequence > last_.first_sequence);
        bool const whole = slot.bytes.empty() || slot_adds_up(slot.bytes, slot.count, slot.stream);
        if (!ordered || !whole)
            std::abort();
        first_ = false;
        last_ = slot;
        return true;
    }

private:
    bool first_ = true;
    Slot last_{};
};

/// Small numbers, and for a slot in one piece the sizes that belong to it: whole slots are reached at once.
void make_plausible(wire::DatagramHeader& header, std::vector<std::uint8_t>& datagram)
{
    header.type = static_cast<std::uint8_t>(wire::Type::data);
    header.stream = static_cast<std::uint16_t>(wire::Stream::storage);
    header.count = header.count.get() & 0xFFU;
    if (datagram.size() < wire::datagram_overhead + sizeof(wire::DataBody))
        return;
    wire::DataBody body;
    std::memcpy(&body, datagram.data() + sizeof(header), sizeof(body));
    body.slot = body.slot.get() & 0xFFU;
    body.oldest_slot = body.oldest_slot.get() & 0x7FU;
    if ((body.fragments.get() & 7U) <= 1) {
        body.fragments = std::uint16_t{1};
        body.index = std::uint16_t{0};
        body.offset = std::uint32_t{0};
        body.slot_bytes =
            static_cast<std::uint32_t>(datagram.size() - wire::datagram_overhead - sizeof(wire::DataBody));
    }
    std::memcpy(datagram.data() + sizeof(header), &body, sizeof(body));
}

/// A well-formed envelope around the fuzzer's bytes; unless the first asks for them as they are.
std::vector<std::uint8_t> envelope(std::span<std::uint8_t const> bytes)
{
    bool const raw = !bytes.empty() && bytes.front() == 0xFF;
    std::vector<std::uint8_t> datagram(bytes.begin(), bytes.end());
    if (raw)
        return datagram;
    if (datagram.size() < wire::datagram_overhead)
        datagram.resize(wire::datagram_overhead);
    wire::DatagramHeader header;
    std::memcpy(&header, datagram.data(), sizeof(header));
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.instance = std::uint64_t{0};
    header.sealed_bytes = static_cast<std::uint32_t>(datagram.size() - wire::datagram_overhead);
    if (header.type.get() != static_cast<std::uint8_t>(wire::Type::hello) &&
        header.type.get() != static_cast<std::uint8_t>(wire::Type::status))
        make_plausible(header, datagram);
    std::memcpy(datagram.data(), &header, sizeof(header));
    return datagram;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* input, std::size_t size)
{
    std::span<std::uint8_t const> rest{input, size};
    Counters counters;
    MemoryBudget budget{1 << 20};
    {
        CheckingSink sink;
        StreamAssembly assembly{
            {}, wire::Stream::storage, {}, {.window_slots = 64, .stream_bytes = 1 << 19}, budget, counters};
        while (rest.size() >= 2) {
            std::size_t const wanted = rest[0] | std::size_t{rest[1]} << 8;
            rest = rest.subspan(2);
            auto const datagram = envelope(rest.first(std::min(wanted, rest.size())));
            rest = rest.subspan(std::min(wanted, rest.size()));
            auto const message = decode(datagram);
            auto const* const data = message ? std::get_if<DataFragment>(&*message) : nullptr;
            if (data == nullptr)
                continue;
            assembly.accept(*data);
            assembly.deliver(sink, 0);
            assembly.commit_started();
            assembly.commit_finished();
            if (assembly.ack_entries().size() > wire::max_ack_entries || budget.used > (2U << 20))
                std::abort();
        }
    }
    if (budget.used != 0)
        std::abort();
    return 0;
}
