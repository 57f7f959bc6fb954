// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Arbitrary bytes in any mode: no crash, and what comes out is within its limits; then the
// instruction is emulated against a device that checks its accesses.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hypervisor/decode/decode_cache.hpp"
#include "hypervisor/decode/emulate.hpp"

namespace {

using namespace undercroft;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

struct Device final : core::MmioHandler {
    std::uint64_t read(std::uint64_t, unsigned width) override
    {
        require(width == 1 || width == 2 || width == 4 || width == 8);
        ++reads;
        return 0x0123'4567'89AB'CDEF;
    }
    void write(std::uint64_t, unsigned width, std::uint64_t value) override
    {
        require(width == 1 || width == 2 || width == 4 || width == 8);
        require(width == 8 || value >> (8 * width) == 0);
        ++writes;
    }
    unsigned reads = 0, writes = 0;
};

struct NoMemory final : core::GuestMemory {
    bool read(Gpa, std::span<std::byte>) const override { return false; }
    bool write(Gpa, std::span<std::byte const>) override { return false; }
    std::byte const* view(Gpa, std::size_t) const override { return nullptr; }
    bool touches_sensor(Gpa, std::uint64_t) const override { return true; }
};

void check(decode::DecodedAccess const& access, std::size_t size)
{
    require(access.length <= 15 && access.length <= size);
    require(access.operation == decode::Operation::unknown || access.length != 0);
    if (access.operation == decode::Operation::unknown)
        return;
    require(access.width == 1 || access.width == 2 || access.width == 4 || access.width == 8);
    require(access.register_index < (access.register_high ? 4 : 16));
    require(access.register_width <= 8 && !(access.register_high && access.register_width != 1));
    require(!(access.reads_only() && access.writes_only()));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    static decode::DecodeCache cache;
    if (size < 1)
        return 0;
    auto const mode = static_cast<decode::CodeMode>(data[0] % 3);
    std::span const bytes{data + 1, size - 1 > 16 ? 16 : size - 1};
    decode::DecodedAccess access;
    bool const known = decode::decode(bytes, mode, access);
    require(known == (access.operation != decode::Operation::unknown));
    check(access, bytes.size());
    require(cache.decode(bytes, mode) == access);

    backend::Registers registers{};
    for (std::uint64_t i = 0; i < 16; ++i)
        registers.gpr[i] = 0x1111'1111'1111'1111 * i;
    std::uint64_t rflags = 0x202;
    Device device;
    NoMemory memory;
    decode::StringContext const context{&memory, {}, 0, 0, data[0] >= 128};
    auto const progress = decode::emulate(access, registers, rflags, device, 0, &context);
    require(known || progress == decode::Progress::unknown);
    require(device.reads <= 1 && device.writes <= 1);
    require(!access.reads_only() || device.writes == 0);
    require(!access.writes_only() || device.reads == 0);
    require((rflags & ~0x8D5ULL) == 0x202);
    return 0;
}
