// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// First byte even: the rest is the program's buffer as it stands. Odd: a request under the right key whose clear
// fields and plaintext come from the input. Unverified input must neither switch anything nor be answered.
#include <cstdlib>
#include <memory>

#include "hypervisor/control/tests/control_fixture.hpp"

namespace {

using namespace undercroft;
using namespace undercroft::control;

/// Header | plaintext from the input, sealed; kind and version are right, the rest is arbitrary.
std::size_t seal_input(std::span<std::uint8_t const> input, std::vector<std::uint8_t>& bytes)
{
    std::size_t const text =
        input.size() < sizeof(wire::ControlHeader) ? 0 : input.size() - sizeof(wire::ControlHeader);
    wire::ControlHeader header{};
    std::memcpy(static_cast<void*>(&header), input.data(), std::min(input.size(), sizeof(header)));
    header.magic = wire::control_magic;
    header.version = wire::control_version;
    header.kind = static_cast<std::uint8_t>(wire::ControlKind::request);
    header.reserved = std::uint16_t{0};
    header.sealed_bytes = static_cast<std::uint32_t>(text);
    ControlIdentity const identity = fixture_identity();
    bool const hello = (header.boot_id[0] & 1) != 0;
    std::memset(header.boot_id, 0, sizeof(header.boot_id));
    if (!hello)
        std::memcpy(header.boot_id, identity.boot_id.data(), sizeof(header.boot_id));
    std::memcpy(bytes.data(), &header, sizeof(header));
    if (text != 0)
        std::memcpy(bytes.data() + sizeof(header), input.data() + sizeof(header), text);
    wire::Key const key =
        derive_control_key(identity.control_key, wire::ControlKind::request, hello ? wire::BootId{} : identity.boot_id);
    std::size_t const total = wire::control_overhead + text;
    wire::seal_control(key, std::span{bytes}.first(total));
    return total;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    static RememberingTarget target;
    static auto const server = std::make_unique<ControlServer>();
    static ProgramMemory memory;
    if (size < 2 || size > 4096)
        return 0;
    server->set_up(fixture_identity(), target);
    target.lines.assign(20, std::string(300, 'x') + "\n");
    target.switched = 0;
    target.asked.clear();
    memory.writes = 0;
    std::fill(memory.bytes.begin(), memory.bytes.end(), std::uint8_t{0});
    bool const right_key = (data[0] & 1) != 0;
    std::uint64_t const pages = data[1] % 17;
    std::span const input{data + 2, size - 2};
    if (right_key)
        (void)seal_input(input, memory.bytes);
    else if (!input.empty())
        std::memcpy(memory.bytes.data(), input.data(), input.size());
    Answer const answer =
        server->handle(wire::control_hypercall, ProgramMemory::base, pages * wire::control_page_bytes, memory);
    if (!right_key && (answer == Answer::done || target.switched != 0 || !target.asked.empty() || memory.writes != 0))
        std::abort();
    return 0;
}
