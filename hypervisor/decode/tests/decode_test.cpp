// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Encodings by hand from Intel SDM vol. 2; the forms of emulate_test come from the assembler.
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "hypervisor/decode/decode_cache.hpp"
#include "hypervisor/decode/mmio_decode.hpp"

namespace undercroft::decode {
namespace {

using backend::Segment;
using Bytes = std::vector<std::uint8_t>;

DecodedAccess decoded(Bytes const& bytes, CodeMode mode)
{
    DecodedAccess access;
    EXPECT_EQ(decode(bytes, mode, access), access.operation != Operation::unknown);
    return access;
}

TEST(Decode, TheMovOfEveryDriver)
{
    auto const load = decoded({0x8B, 0x43, 0x38}, CodeMode::bits64); // mov eax, [rbx+38h]
    EXPECT_EQ(load.operation, Operation::load);
    EXPECT_EQ(load.length, 3);
    EXPECT_EQ(load.width, 4);
    EXPECT_EQ(load.register_width, 4);
    EXPECT_EQ(load.register_index, 0);
    EXPECT_TRUE(load.reads_only());
    auto const store = decoded({0x41, 0x89, 0x55, 0x38}, CodeMode::bits64); // mov [r13+38h], edx
    EXPECT_EQ(store.operation, Operation::store);
    EXPECT_EQ(store.register_index, 2);
    EXPECT_TRUE(store.writes_only());
    EXPECT_TRUE(store.memory_first);
}

TEST(Decode, ModesChangeTheMeaning)
{
    Bytes const bytes{0x89, 0x07, 0x00, 0x00}; // mov [edi], eax / mov [bx], ax
    EXPECT_EQ(decoded(bytes, CodeMode::bits64).width, 4);
    EXPECT_EQ(decoded(bytes, CodeMode::bits32).width, 4);
    EXPECT_EQ(decoded(bytes, CodeMode::bits16).width, 2);
    EXPECT_EQ(decoded({0x66, 0x89, 0x07}, CodeMode::bits16).width, 4);
    EXPECT_EQ(decoded({0x66, 0x89, 0x07}, CodeMode::bits32).width, 2);
    // 40h is INC in 32-bit mode and REX in 64-bit mode.
    EXPECT_EQ(decoded({0x40, 0x88, 0x37}, CodeMode::bits32).length, 1);
    auto const rex = decoded({0x40, 0x88, 0x37}, CodeMode::bits64); // mov [rdi], sil
    EXPECT_EQ(rex.register_index, 6);
    EXPECT_FALSE(rex.register_high);
    auto const high = decoded({0x88, 0x37}, CodeMode::bits64); // mov [rdi], dh
    EXPECT_EQ(high.register_index, 2);
    EXPECT_TRUE(high.register_high);
}

TEST(Decode, InstructionsThatNeedSvm)
{
    // APM volume 3: 0F 01 D8 ... DF are VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT, INVLPGA.
    bool const needs[] = {true, false, true, true, true, true, true, true};
    for (std::uint8_t i = 0; i < 8; ++i) {
        auto const last = static_cast<std::uint8_t>(0xD8 + i);
        bool const skinit = i == 4 || i == 6;
        for (CodeMode const mode : {CodeMode::bits16, CodeMode::bits32, CodeMode::bits64}) {
            EXPECT_EQ(needs_svm(Bytes{0x0F, 0x01, last}, mode, false), needs[i]) << int{last};
            EXPECT_EQ(needs_svm(Bytes{0x0F, 0x01, last}, mode, true), needs[i] && !skinit) << int{last};
            EXPECT_FALSE(needs_svm(Bytes{0x0F, 0x01}, mode, false)) << "cut off";
        }
        EXPECT_EQ(needs_svm(Bytes{0x66, 0x2E, 0x48, 0x0F, 0x01, last}, CodeMode::bits64, false), needs[i]);
    }
    for (Bytes const& other : {Bytes{}, Bytes{0xF4}, Bytes{0x0F, 0x01, 0xC1}, Bytes{0x0F, 0x32}, Bytes{0xCD, 0xF0}})
        EXPECT_FALSE(needs_svm(other, CodeMode::bits64, false));
}

TEST(Decode, AbsoluteAccumulatorForms)
{
    auto const load = decoded({0xA1, 0, 0, 0xB0, 0xFE}, CodeMode::bits32); // mov eax, [FEB00000h]
    EXPECT_EQ(load.operation, Operation::load);
    EXPECT_EQ(load.length, 5);
    auto const store = decoded({0x48, 0xA3, 0, 0, 0xB0, 0xFE, 0, 0, 0, 0}, CodeMode::bits64);
    EXPECT_EQ(store.operation, Operation::store);
    EXPECT_EQ(store.width, 8);
    EXPECT_EQ(store.length, 10);
}

TEST(Decode, ImmediatesAreSignExtended)
{
    auto const or32 = decoded({0x83, 0x08, 0xFE}, CodeMode::bits64); // or dword [rax], -2
    EXPECT_EQ(or32.operation, Operation::to_memory);
    EXPECT_EQ(or32.alu, Alu::bit_or);
    EXPECT_TRUE(or32.has_immediate);
    EXPECT_EQ(or32.immediate, ~1ULL);
    auto const mov64 = decoded({0x48, 0xC7, 0x00, 0x00, 0x00, 0x00, 0x80}, CodeMode::bits64);
    EXPECT_EQ(mov64.immediate, 0xFFFF'FFFF'8000'0000ULL);
}

TEST(Decode, CompareKnowsItsSides)
{
    EXPECT_TRUE(decoded({0x39, 0x08}, CodeMode::bits64).memory_first);  // cmp [rax], ecx
    EXPECT_FALSE(decoded({0x3B, 0x08}, CodeMode::bits64).memory_first); // cmp ecx, [rax]
    EXPECT_EQ(decoded({0x3B, 0x08}, CodeMode::bits64).operation, Operation::compare);
}

TEST(Decode, Strings)
{
    auto const movs = decoded({0xF3, 0x65, 0xA5}, CodeMode::bits64); // rep movsd es:[rdi], gs:[rsi]
    EXPECT_EQ(movs.operation, Operation::move_string);
    EXPECT_TRUE(movs.repeat);
    EXPECT_EQ(movs.source_segment, Segment::gs);
    EXPECT_EQ(movs.width, 4);
    EXPECT_EQ(movs.address_width, 8);
    auto const stos = decoded({0x67, 0xAB}, CodeMode::bits64); // stosd es:[edi]
    EXPECT_EQ(stos.operation, Operation::store_string);
    EXPECT_FALSE(stos.repeat);
    EXPECT_EQ(stos.address_width, 4);
    EXPECT_EQ(decoded({0x2E, 0xAC}, CodeMode::bits16).source_segment, Segment::cs); // lodsb cs:[si]
    EXPECT_EQ(decoded({0xF2, 0xA5}, CodeMode::bits64).operation, Operation::unknown) << "REPNE MOVS";
}

TEST(Decode, WhatIsNotEmulatedIsUnknownWithItsLength)
{
    struct Case {
        Bytes bytes;
        unsigned length;
    };
    Case const cases[] = {
        {{0x90}, 1},                         // nop
        {{0x89, 0xC8}, 2},                   // mov eax, ecx: no memory
        {{0xFF, 0x30}, 2},                   // push [rax]
        {{0x8F, 0x00}, 2},                   // pop [rax]
        {{0xFF, 0x10}, 2},                   // call [rax]
        {{0xF7, 0x20}, 2},                   // mul dword [rax]
        {{0xD1, 0x20}, 2},                   // shl dword [rax], 1
        {{0x8C, 0x18}, 2},                   // mov [rax], ds
        {{0x0F, 0x11, 0x00}, 3},             // movups [rax], xmm0
        {{0xF2, 0x0F, 0x11, 0x00}, 4},       // movsd [rax], xmm0: a vector, not a string
        {{0x0F, 0xC7, 0x08}, 3},             // cmpxchg8b [rax]
        {{0x8D, 0x00}, 2},                   // lea eax, [rax]: no access
        {{0xA6}, 1},                         // cmpsb
        {{0xAE}, 1},                         // scasb
        {{0x0F, 0x01, 0xD9}, 3},             // vmmcall
        {{0x0F, 0x18, 0x00}, 3},             // prefetchnta [rax]
        {{0xC4, 0xE2, 0x7D, 0x8C, 0x00}, 5}, // vpmaskmovd ymm0, ymm0, [rax]
    };
    for (auto const& c : cases) {
        auto const access = decoded(c.bytes, CodeMode::bits64);
        EXPECT_EQ(access.operation, Operation::unknown) << ::testing::PrintToString(c.bytes);
        EXPECT_EQ(access.length, c.length) << ::testing::PrintToString(c.bytes);
    }
}

TEST(Decode, CutOffOrIllegalBytesAreUnknown)
{
    Bytes const whole{0x48, 0xC7, 0x80, 1, 2, 3, 4, 5, 6, 7, 8}; // mov qword [rax+d32], i32
    for (std::size_t size = 0; size < whole.size(); ++size) {
        auto const access =
            decoded({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}, CodeMode::bits64);
        EXPECT_EQ(access, DecodedAccess{}) << size;
    }
    EXPECT_EQ(decoded(whole, CodeMode::bits64).length, 11);
    EXPECT_EQ(decoded({0xF0, 0x8B, 0x00}, CodeMode::bits64), DecodedAccess{}) << "LOCK MOV";
    EXPECT_EQ(decoded(Bytes(16, 0x66), CodeMode::bits64), DecodedAccess{}) << "more than 15 bytes";
    EXPECT_EQ(decoded({0x06}, CodeMode::bits64), DecodedAccess{}) << "PUSH ES";
}

TEST(Decode, ModeFromThePagingState)
{
    backend::PagingState state{};
    EXPECT_EQ(code_mode(state), CodeMode::bits16);
    state.cs_default_32 = true;
    EXPECT_EQ(code_mode(state), CodeMode::bits32);
    state.cs_default_32 = false;
    state.cs_long = true;
    EXPECT_EQ(code_mode(state), CodeMode::bits16) << "CS.L means nothing outside long mode";
    state.efer = 1U << 10;
    EXPECT_EQ(code_mode(state), CodeMode::bits64);
}

TEST(DecodeCacheTest, SameAnswersAndNoSecondDecoding)
{
    DecodeCache cache;
    Bytes const mov{0x8B, 0x43, 0x38, 0x90}, store{0x89, 0x43, 0x38, 0x90};
    for (unsigned i = 0; i < 10; ++i) {
        EXPECT_EQ(cache.decode(mov, CodeMode::bits64), decoded(mov, CodeMode::bits64));
        EXPECT_EQ(cache.decode(store, CodeMode::bits64), decoded(store, CodeMode::bits64));
    }
    EXPECT_EQ(cache.misses(), 2U);
    EXPECT_EQ(cache.decode(mov, CodeMode::bits16), decoded(mov, CodeMode::bits16));
    EXPECT_EQ(cache.decode(std::span{mov}.first(2), CodeMode::bits64), DecodedAccess{});
    EXPECT_EQ(cache.decode({}, CodeMode::bits64), DecodedAccess{});
}

TEST(DecodeCacheTest, CollisionsAreDecodedAgain)
{
    DecodeCache cache;
    for (unsigned round = 0; round < 3; ++round)
        for (unsigned displacement = 0; displacement < 256; ++displacement) {
            Bytes const bytes{0x8B, 0x43, static_cast<std::uint8_t>(displacement), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                              0,    0};
            ASSERT_EQ(cache.decode(bytes, CodeMode::bits64), decoded(bytes, CodeMode::bits64));
        }
}

} // namespace
} // namespace undercroft::decode
