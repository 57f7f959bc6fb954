// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The processor is the witness: each instruction form runs natively on ordinary memory and
// emulated on a copy of it; memory, registers and flags must come out the same.
#include "hypervisor/decode/emulate.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "hypervisor/decode/alu.hpp"
#include "hypervisor/decode/tests/native_forms.hpp"
#include "hypervisor/paging/tests/ram.hpp"

namespace undercroft::decode {
namespace {

using backend::Registers;
using testing::NativeForm;
using testing::NativeState;

constexpr unsigned rcx = 1, rsp = 4, rsi = 6, rdi = 7, r12 = 12;
constexpr std::size_t memory_bytes = 192, middle = 96;
using Memory = std::array<std::uint8_t, memory_bytes>;

struct Device final : core::MmioHandler {
    std::uint64_t read(std::uint64_t offset, unsigned width) override
    {
        ++reads;
        std::uint64_t value = 0;
        EXPECT_LE(offset + width, bytes.size());
        std::memcpy(&value, &bytes.at(offset), width);
        return value;
    }
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        ++writes;
        EXPECT_LE(offset + width, bytes.size());
        std::memcpy(&bytes.at(offset), &value, width);
    }
    Memory bytes{};
    unsigned reads = 0, writes = 0;
};

std::span<NativeForm const> forms()
{
    return {testing::undercroft_native_forms, testing::undercroft_native_forms_end};
}
bool is_string(std::string_view text)
{
    for (std::string_view name : {"stos", "lods", "movsb", "movsw", "movsl", "movsq"})
        if (text == name || (text.substr(0, 4) == "rep " && text.substr(4).starts_with(name)) ||
            (text.size() == 5 && text.starts_with(name)))
            return true;
    return false;
}

/// Flags that the manual leaves undefined are not compared.
std::uint64_t defined_flags(DecodedAccess const& access)
{
    switch (access.alu) {
    case Alu::bit_and:
    case Alu::bit_or:
    case Alu::bit_xor:
        return flag::status & ~flag::adjust;
    case Alu::bit_test:
    case Alu::bit_set:
    case Alu::bit_reset:
    case Alu::bit_complement:
        return flag::carry | flag::zero;
    default:
        return flag::status;
    }
}

class Differential : public ::testing::Test {
protected:
    std::uint64_t random_value()
    {
        // Edges are where flags go wrong.
        constexpr std::uint64_t edges[] = {0,
                                           1,
                                           0x7F,
                                           0x80,
                                           0xFF,
                                           0x7FFF,
                                           0x8000,
                                           0xFFFF,
                                           0x7FFF'FFFF,
                                           0x8000'0000,
                                           0xFFFF'FFFF,
                                           0x7FFF'FFFF'FFFF'FFFF,
                                           0x8000'0000'0000'0000,
                                           ~0ULL};
        return random() % 3 == 0 ? edges[random() % std::size(edges)] : random();
    }
    void randomise()
    {
        for (auto& value : start.gpr)
            value = random_value();
        for (auto& byte : native_memory)
            byte = static_cast<std::uint8_t>(random());
        std::uint64_t const value = random_value();
        std::memcpy(&native_memory[middle], &value, sizeof(value));
        if (random() % 4 == 0) // so that CMPXCHG finds what it expects
            start.gpr[0] = value;
        start.rflags = (random() & flag::status) | 0x202;
        start.gpr[rsp] = reinterpret_cast<std::uint64_t>(stack.data() + stack.size() - 64);
        start.gpr[rdi] = reinterpret_cast<std::uint64_t>(&native_memory[middle]);
        start.gpr[r12] = 2; // index of the form with one
    }
    NativeState run_native(NativeForm const& form)
    {
        testing::undercroft_native_state = start;
        form.run();
        return testing::undercroft_native_state;
    }
    static DecodedAccess decoded(NativeForm const& form)
    {
        DecodedAccess access;
        EXPECT_TRUE(decode({form.bytes, form.length}, CodeMode::bits64, access)) << form.text;
        EXPECT_EQ(access.length, form.length) << form.text;
        return access;
    }

    std::mt19937_64 random{20261122};
    Memory native_memory{};
    std::array<std::uint8_t, 8192> stack{};
    NativeState start{};
};

TEST_F(Differential, EachFormEqualsTheProcessor)
{
    std::set<Operation> operations;
    unsigned compared = 0;
    for (auto const& form : forms()) {
        std::string_view const text = form.text;
        if (is_string(text))
            continue;
        DecodedAccess const access = decoded(form);
        operations.insert(access.operation);
        bool const indexed = text.find("r12") != text.npos || text.find(" 8(") != text.npos;
        for (unsigned round = 0; round < 300; ++round) {
            randomise();
            if (access.operation == Operation::bit && !access.has_immediate)
                start.gpr[access.register_index] %= 8 * access.width; // else another address
            Device device;
            device.bytes = native_memory;
            NativeState const native = run_native(form);
            Registers registers;
            std::memcpy(registers.gpr, start.gpr, sizeof(registers.gpr));
            std::uint64_t rflags = start.rflags;
            ASSERT_EQ(emulate(access, registers, rflags, device, middle + (indexed ? 8 : 0), nullptr), Progress::done);
            for (unsigned i = 0; i < 16; ++i)
                ASSERT_EQ(registers.gpr[i], native.gpr[i]) << text << " register " << i;
            std::uint64_t const mask = defined_flags(access);
            ASSERT_EQ(rflags & mask, native.rflags & mask) << text << " flags from " << std::hex << start.rflags;
            ASSERT_EQ(rflags & ~flag::status, start.rflags & ~flag::status) << text;
            ASSERT_EQ(device.bytes, native_memory) << text;
            ++compared;
        }
    }
    EXPECT_EQ(operations.size(), 11U) << "every operation but strings and unknown";
    EXPECT_GE(compared, 200U * 300U);
}

/// Strings: RSI and RDI address the same bytes natively and through device or guest RAM.
class StringDifferential : public Differential {
protected:
    static constexpr std::uint64_t ram_base = 0x4000;

    /// Makes the rounds as the processor would, one fault each.
    void run_emulated(DecodedAccess const& access, bool to_device)
    {
        paging::testing::Ram ram{memory_bytes, ram_base};
        ASSERT_TRUE(ram.write(Gpa{ram_base}, std::as_bytes(std::span{native_memory})));
        ASSERT_TRUE(source_memory.empty() || ram.write(Gpa{ram_base}, source_memory));
        StringContext const context{&ram, backend::PagingState{}, 0, 0, to_device};
        for (unsigned round = 0; round < 100; ++round) {
            std::uint64_t const at = (to_device ? registers.gpr[rdi] : registers.gpr[rsi]) - device_base;
            Progress const progress = emulate(access, registers, rflags, device, at, &context);
            ASSERT_NE(progress, Progress::unknown);
            if (progress == Progress::done)
                break;
            ASSERT_TRUE(access.repeat);
        }
        std::memcpy(ram_after.data(), ram.view(Gpa{ram_base}, memory_bytes), memory_bytes);
    }

    static constexpr std::uint64_t device_base = 0x10'0000;
    std::vector<std::byte> source_memory;
    Device device;
    Registers registers{};
    std::uint64_t rflags = 0;
    Memory ram_after{};
};

TEST_F(StringDifferential, EachFormEqualsTheProcessor)
{
    std::set<Operation> operations;
    for (auto const& form : forms()) {
        if (!is_string(form.text))
            continue;
        DecodedAccess const access = decoded(form);
        operations.insert(access.operation);
        for (unsigned round = 0; round < 200; ++round) {
            bool const to_device = access.operation == Operation::store_string ||
                                   (access.operation == Operation::move_string && round % 2 == 0);
            randomise();
            Memory other{}; // the second operand of MOVS
            for (auto& byte : other)
                byte = static_cast<std::uint8_t>(random());
            start.gpr[rcx] = access.repeat ? random() % 10 : random();
            start.rflags |= round % 3 == 0 ? flag::direction : 0;
            Memory const native_before = native_memory, other_before = other;
            auto const address = [](Memory& m) { return reinterpret_cast<std::uint64_t>(&m[middle]); };
            start.gpr[to_device ? rdi : rsi] = address(native_memory);
            start.gpr[to_device ? rsi : rdi] = address(other);
            // The emulated side: the device's bytes at device_base, the other in guest RAM.
            device = {};
            device.bytes = native_before;
            std::memcpy(registers.gpr, start.gpr, sizeof(registers.gpr));
            registers.gpr[to_device ? rdi : rsi] = device_base + middle;
            registers.gpr[to_device ? rsi : rdi] = ram_base + middle;
            rflags = start.rflags;
            source_memory.assign(reinterpret_cast<std::byte const*>(other_before.data()),
                                 reinterpret_cast<std::byte const*>(other_before.data() + memory_bytes));
            NativeState const native = run_native(form);
            run_emulated(access, to_device);
            ASSERT_EQ(device.bytes, native_memory) << form.text;
            ASSERT_EQ(ram_after, other) << form.text;
            for (unsigned i : {0U, rcx})
                ASSERT_EQ(registers.gpr[i], native.gpr[i]) << form.text;
            std::uint64_t const moved = native.gpr[rdi] - start.gpr[rdi];
            ASSERT_EQ(registers.gpr[rdi] - (to_device ? device_base : ram_base) - middle, moved) << form.text;
            ASSERT_EQ(registers.gpr[rsi] - (to_device ? ram_base : device_base) - middle,
                      native.gpr[rsi] - start.gpr[rsi])
                << form.text;
            ASSERT_EQ(rflags, start.rflags);
        }
    }
    EXPECT_EQ(operations.size(), 3U);
}

TEST(Emulate, MoveStringOutsideGuestRamDoesNothing)
{
    std::array<std::uint8_t, 1> const movsb{0xA4};
    DecodedAccess access;
    ASSERT_TRUE(decode(movsb, CodeMode::bits64, access));
    paging::testing::Ram ram{0x1000};
    Device device;
    Registers registers{};
    std::uint64_t rflags = 2;
    registers.gpr[rdi] = 0x5000;
    StringContext context{&ram, backend::PagingState{}, 0, 0, false};
    EXPECT_EQ(emulate(access, registers, rflags, device, 0, &context), Progress::unknown);
    EXPECT_EQ(emulate(access, registers, rflags, device, 0, nullptr), Progress::unknown);
    EXPECT_EQ(device.reads, 0U) << "a register that clears on read keeps its value";
    context.mmio_is_destination = true;
    registers.gpr[rsi] = 0x5000;
    EXPECT_EQ(emulate(access, registers, rflags, device, 0, &context), Progress::unknown);
    EXPECT_EQ(device.writes, 0U);
    EXPECT_EQ(registers.gpr[rsi], 0x5000U);
}

TEST(Emulate, SegmentBasesAndAddressSizes)
{
    std::array<std::uint8_t, 3> const rep_movsw_a16{0xF3, 0x67, 0xA5}; // 32-bit code: REP MOVSD, 16-bit addresses
    DecodedAccess access;
    ASSERT_TRUE(decode(rep_movsw_a16, CodeMode::bits32, access));
    EXPECT_EQ(access.address_width, 2);
    paging::testing::Ram ram{0x20000};
    std::uint32_t const value = 0xCAFE'F00D;
    ASSERT_TRUE(ram.write(Gpa{0x1'2344}, std::as_bytes(std::span{&value, 1})));
    Device device;
    Registers registers{};
    registers.gpr[rcx] = 0xAAAA'0001; // only CX counts
    registers.gpr[rsi] = 0x5555'2344;
    registers.gpr[rdi] = 0x7777'FFFC;
    std::uint64_t rflags = 2;
    StringContext const context{&ram, backend::PagingState{}, 0x1'0000, 0, true};
    EXPECT_EQ(emulate(access, registers, rflags, device, 4, &context), Progress::done);
    EXPECT_EQ(registers.gpr[rcx], 0xAAAA'0000U);
    EXPECT_EQ(registers.gpr[rsi], 0x5555'2348U);
    EXPECT_EQ(registers.gpr[rdi], 0x7777'0000U);
    EXPECT_EQ(device.read(4, 4), value);
}

} // namespace
} // namespace undercroft::decode
