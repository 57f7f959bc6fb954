// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "base/le.hpp"
#include "base/mul_div.hpp"
#include "base/reg.hpp"
#include "base/units.hpp"
#include "base/width.hpp"

namespace undercroft {
namespace {

TEST(Le, BytesInOrderAtAnyAddress)
{
    static_assert(sizeof(Le<std::uint64_t>) == 8 && alignof(Le<std::uint64_t>) == 1);
    unsigned char raw[9]{};
    Le<std::uint32_t> const value{std::uint32_t{0x1234'5678}};
    std::memcpy(raw + 1, &value, 4);
    EXPECT_EQ(raw[1], 0x78);
    EXPECT_EQ(raw[4], 0x12);
    EXPECT_EQ(value.get(), 0x1234'5678U);
    EXPECT_EQ(Le<std::uint64_t>{std::uint64_t{0x8877'6655'4433'2211}}.get(), 0x8877'6655'4433'2211U);
    EXPECT_EQ(Le<std::uint8_t>{std::uint8_t{0xFF}}.get(), 0xFF);
    EXPECT_EQ(Le<std::uint16_t>{}.get(), 0);
}

TEST(Le, OtherTypesAreRefused)
{
    static_assert(!std::is_constructible_v<Le<std::uint16_t>, std::uint32_t>);
    static_assert(!std::is_constructible_v<Le<std::uint32_t>, std::uint16_t>);
    static_assert(!std::is_constructible_v<Le<std::uint32_t>, int>);
    static_assert(std::is_constructible_v<Le<std::uint32_t>, std::uint32_t>);
}

TEST(MulDiv, AgainstWideArithmetic)
{
    std::mt19937_64 random{1};
    for (unsigned i = 0; i < 100'000; ++i) {
        std::uint64_t const a = random() >> (random() % 64), b = random() >> (random() % 64);
        std::uint64_t const c = random() >> (random() % 64);
        auto const product = static_cast<unsigned __int128>(a) * b;
        bool const fits = c != 0 && (product / c) >> 64 == 0;
        ASSERT_EQ(mul_div(a, b, c), fits ? static_cast<std::uint64_t>(product / c) : ~std::uint64_t{0})
            << a << " * " << b << " / " << c;
    }
}

TEST(MulDiv, TicksToNanoseconds)
{
    static_assert(mul_div(3'000'000'001, 1'000'000'000, 3'000'000'000) == 1'000'000'000);
    static_assert(mul_div(~0ULL, 1, 2) == ~0ULL / 2);
    static_assert(mul_div(1, 1, 0) == ~0ULL);
    EXPECT_EQ(mul_div(86'400ULL * 365 * 2'400'000'000, 1'000'000'000, 2'400'000'000), 86'400ULL * 365 * 1'000'000'000);
}

struct Bus {
    template <typename T>
    T load(std::size_t offset)
    {
        T value;
        std::memcpy(&value, &bytes[offset], sizeof(T));
        return value;
    }
    template <typename T>
    void store(std::size_t offset, T value)
    {
        std::memcpy(&bytes[offset], &value, sizeof(T));
    }
    std::vector<unsigned char> bytes = std::vector<unsigned char>(16);
};
using Plain = Reg<4, std::uint32_t, Access::read_write>;
using Events = Reg<8, std::uint16_t, Access::write_one_to_clear>;
using Fixed = Reg<12, std::uint8_t, Access::read_only>;

template <typename R>
concept Writable = requires(Window<Bus> w) { w.template write<R>(0); };
template <typename R>
concept Acknowledgeable = requires(Window<Bus> w) { w.template acknowledge<R>(0); };

TEST(Reg, AccessRulesAreTypes)
{
    static_assert(Writable<Plain> && !Writable<Events> && !Writable<Fixed>);
    static_assert(!Acknowledgeable<Plain> && Acknowledgeable<Events> && !Acknowledgeable<Fixed>);
    Bus bus;
    Window<Bus> const window{bus};
    window.write<Plain>(0xA1B2'C3D4);
    window.acknowledge<Events>(0x0102);
    bus.bytes[12] = 9;
    EXPECT_EQ(window.read<Plain>(), 0xA1B2'C3D4U);
    EXPECT_EQ(bus.bytes[4], 0xD4);
    EXPECT_EQ(bus.bytes[8], 0x02);
    EXPECT_EQ(window.read<Fixed>(), 9);
}

TEST(Width, MasksOfEachAccess)
{
    constexpr std::uint64_t value = 0x8877'6655'4433'2211;
    static_assert(truncate(value, 1) == 0x11 && truncate(value, 2) == 0x2211 && truncate(value, 4) == 0x4433'2211);
    static_assert(truncate(value, 8) == value && truncate(value, 0) == 0 && width_mask(3) == 0xFF'FFFF);
}

TEST(Units, AreNotExchangeable)
{
    static_assert(!std::is_convertible_v<Gpa, Gva> && !std::is_convertible_v<Tsc, UtcNs>);
    static_assert(!std::is_convertible_v<std::uint64_t, Gpa>);
    EXPECT_EQ((Gpa{0x1000} + 0x10).value, 0x1010U);
    EXPECT_LT(Lba{1}, Lba{2});
}

} // namespace
} // namespace undercroft
