// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Arbitrary code, registers and page tables: no crash, no access but to guest RAM and to what is
// watched, and one instruction at a time gives the same as all at once.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "hypervisor/decode/run_ahead.hpp"

namespace {

using namespace undercroft;

constexpr std::uint64_t ram_bytes = 0x7000, device_page = 0xFEB0'0000;
constexpr std::uint64_t kept_flags = ~0x8D5ULL; // all but the status flags

void require(bool condition)
{
    if (!condition)
        std::abort();
}

struct Ram final : core::GuestMemory {
    bool read(Gpa, std::span<std::byte>) const override { return false; }
    bool write(Gpa, std::span<std::byte const>) override { std::abort(); }
    std::byte const* view(Gpa at, std::size_t count) const override
    {
        return at.value <= ram_bytes && count <= ram_bytes - at.value ? bytes.data() + at.value : nullptr;
    }
    bool touches_sensor(Gpa, std::uint64_t) const override { return true; }
    template <typename T>
    void put(std::uint64_t at, T value)
    {
        std::memcpy(&bytes[at], &value, sizeof(value));
    }
    std::vector<std::byte> bytes = std::vector<std::byte>(ram_bytes);
};

struct Device final : core::MmioHandler {
    void check(std::uint64_t gpa, unsigned width)
    {
        require(width == 1 || width == 2 || width == 4 || width == 8);
        require(gpa >= device_page && gpa + width <= device_page + page_bytes);
        ++accesses;
    }
    std::uint64_t read(std::uint64_t gpa, unsigned width) override
    {
        check(gpa, width);
        return gpa * 0x9E37'79B9'7F4A'7C15ULL;
    }
    void write(std::uint64_t gpa, unsigned width, std::uint64_t value) override
    {
        check(gpa, width);
        require(width == 8 || value >> (8 * width) == 0);
    }
    unsigned accesses = 0;
};

bool is_watched(void const*, Gpa gpa)
{
    return gpa.value >= device_page && gpa.value < device_page + page_bytes;
}

struct Outcome {
    backend::Registers registers{};
    std::uint64_t rip = 0, rflags = 0;
    unsigned steps = 0;
};

/// `fresh`: with a new context, which remembers no page, for each step.
Outcome perform(Ram const& ram, backend::Registers registers, backend::PagingState paging, bool fresh)
{
    static decode::StepCache cache;
    Device device;
    std::uint64_t rip = 0x40'0000;
    auto const make = [&] {
        return decode::RunAheadContext{.registers = registers,
                                       .rip = rip,
                                       .paging = paging,
                                       .memory = ram,
                                       .handler = device,
                                       .is_watched = is_watched,
                                       .owner = nullptr};
    };
    auto context = make();
    unsigned steps = 0;
    for (; steps < 64; ++steps) {
        if (fresh) {
            rip = context.rip;
            paging.rflags = context.paging.rflags;
            std::destroy_at(&context);
            std::construct_at(&context, make());
        }
        auto const before = registers;
        std::uint64_t const at = context.rip, flags = context.paging.rflags;
        unsigned const accesses = device.accesses;
        auto const result = decode::perform_step(context, cache);
        require((context.paging.rflags & kept_flags) == (flags & kept_flags));
        require(device.accesses - accesses == (result == decode::StepResult::device_access ? 1U : 0U));
        if (result == decode::StepResult::stopped) {
            require(std::memcmp(&before, &registers, sizeof(before)) == 0);
            require(context.rip == at && context.paging.rflags == flags);
            break;
        }
    }
    return {registers, context.rip, context.paging.rflags, steps};
}

} // namespace

/// 4 bytes: what is changed in page tables; 16: addresses in registers; the rest: code.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    if (size < 24)
        return 0;
    Ram ram;
    constexpr std::uint64_t marked = 0x63;
    ram.put<std::uint64_t>(0x1000, 0x2000 | marked);
    ram.put<std::uint64_t>(0x2000, 0x3000 | marked);
    ram.put<std::uint64_t>(0x3010, 0x4000 | marked);
    for (unsigned i = 0; i < 6; ++i)
        ram.put<std::uint64_t>(0x4000 + 8 * i, (0x5000 + 0x1000 * (i % 2)) | marked);
    ram.put<std::uint64_t>(0x4030, device_page | marked);
    ram.put<std::uint64_t>(0x4038, (device_page + page_bytes) | marked);
    // Flips one bit of one entry of one table.
    std::uint64_t const entry = 0x1000ULL * (1 + data[0] % 4) + 8 * (data[1] % 8);
    std::uint64_t value = 0;
    std::memcpy(&value, &ram.bytes[entry], sizeof(value));
    if (data[2] < 128)
        ram.put<std::uint64_t>(entry, value ^ 1ULL << data[2] % 64);
    backend::Registers registers{};
    for (unsigned i = 0; i < 16; ++i)
        registers.gpr[i] = 0x40'0000 + 0x88ULL * data[4 + i];
    std::size_t const code = std::min<std::size_t>(size - 20, 4096);
    std::memcpy(&ram.bytes[0x5000], data + 20, code);
    backend::PagingState const paging{.cr0 = 0x8001'0033,
                                      .cr3 = 0x1000,
                                      .cr4 = 0x20,
                                      .efer = data[3] & 1 ? 0xD01U : 0x501U,
                                      .rflags = 0x202,
                                      .cs_long = true,
                                      .cs_default_32 = false,
                                      .cpl = 0};
    Outcome const one = perform(ram, registers, paging, false), other = perform(ram, registers, paging, true);
    require(std::memcmp(&one.registers, &other.registers, sizeof(one.registers)) == 0);
    require(one.rip == other.rip && one.rflags == other.rflags && one.steps == other.steps);
    return 0;
}
