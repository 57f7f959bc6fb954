// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The information structure byte by byte as Multiboot2 Specification 2.0, 3.6 has it, whole and damaged.
#include "hypervisor/boot/multiboot2/tags.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace undercroft::multiboot2 {
namespace {

class Structure {
public:
    Structure() : bytes(8) {}
    Structure& tag(std::uint32_t type, std::vector<std::uint8_t> const& body)
    {
        word(type);
        word(static_cast<std::uint32_t>(8 + body.size()));
        bytes.insert(bytes.end(), body.begin(), body.end());
        bytes.resize((bytes.size() + 7) / 8 * 8);
        return *this;
    }
    std::vector<std::uint8_t> finish()
    {
        word(0);
        word(8);
        set(0, static_cast<std::uint32_t>(bytes.size()));
        return bytes;
    }
    void word(std::uint32_t value)
    {
        for (unsigned i = 0; i < 4; ++i)
            bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    }
    void set(std::size_t at, std::uint32_t value)
    {
        for (unsigned i = 0; i < 4; ++i)
            bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
    std::vector<std::uint8_t> bytes;
};

std::vector<std::uint8_t> text(std::string const& s)
{
    return {s.c_str(), s.c_str() + s.size() + 1};
}
std::vector<std::uint8_t> words(std::initializer_list<std::uint32_t> values, std::string const& tail = "")
{
    Structure s;
    s.bytes.clear();
    for (std::uint32_t const v : values)
        s.word(v);
    s.bytes.insert(s.bytes.end(), tail.c_str(), tail.c_str() + tail.size() + 1);
    return s.bytes;
}

std::vector<std::uint8_t> typical()
{
    return Structure{}
        .tag(1, text("boot_drive=0x81"))
        .tag(2, text("GRUB 2.06"))
        .tag(3, words({0x100000, 0x445A78}))
        .tag(3, words({0x446000, 0x446123}, "undercroft.conf"))
        .tag(5, words({0x80, 0, 0xFFFFFFFF}))
        .tag(4, words({639, 1048576}))
        .finish();
}

TEST(Tags, ReadsWhatGrubPasses)
{
    auto const bytes = typical();
    auto const tags = read_tags(bytes);
    ASSERT_TRUE(tags);
    EXPECT_EQ(tags->command_line, "boot_drive=0x81");
    ASSERT_EQ(tags->module_count, 2U);
    EXPECT_EQ(tags->modules[0].start, 0x100000U);
    EXPECT_EQ(tags->modules[0].end, 0x445A78U);
    EXPECT_EQ(tags->modules[1].end, 0x446123U);
    EXPECT_EQ(tags->boot_drive, 0x80);
}

TEST(Tags, StopsAtTheEndTag)
{
    auto bytes = typical();
    std::size_t const size = bytes.size();
    bytes.insert(bytes.end(), {3, 0, 0, 0, 8, 0, 0, 0}); // a module tag that is too short
    bytes[0] = static_cast<std::uint8_t>(size + 8);
    EXPECT_TRUE(read_tags(bytes));
}

TEST(Tags, CountsModulesThatFindNoRoom)
{
    Structure s;
    for (std::uint32_t i = 0; i < 7; ++i)
        s.tag(3, words({0x100000 * (i + 1), 0x100000 * (i + 1) + 5}));
    auto const bytes = s.finish();
    auto const tags = read_tags(bytes);
    ASSERT_TRUE(tags);
    EXPECT_EQ(tags->module_count, 4U);
    EXPECT_EQ(tags->modules_omitted, 3U);
}

TEST(Tags, RefusesWhatIsDamaged)
{
    EXPECT_FALSE(read_tags({}));
    EXPECT_FALSE(read_tags(std::vector<std::uint8_t>(7)));
    EXPECT_FALSE(read_tags(std::vector<std::uint8_t>(64))); // size 0
    auto bytes = typical();
    auto const with = [&](std::size_t at, std::uint32_t value) {
        Structure s;
        s.bytes = bytes;
        s.set(at, value);
        return read_tags(s.bytes);
    };
    EXPECT_FALSE(with(0, 0xFFFFFFFF));
    EXPECT_FALSE(with(0, static_cast<std::uint32_t>(bytes.size() + 1)));
    EXPECT_FALSE(with(0, static_cast<std::uint32_t>(bytes.size() - 9))); // the last tag's header is cut
    EXPECT_FALSE(with(12, 0));                                           // would stand still
    EXPECT_FALSE(with(12, 7));
    EXPECT_FALSE(with(12, 0xFFFFFFF8)); // rounding up would wrap
    EXPECT_FALSE(with(12, 0xFFFFFFFF));
    EXPECT_FALSE(read_tags(Structure{}.tag(3, {0, 0, 0x10, 0}).finish()));
    EXPECT_FALSE(read_tags(Structure{}.tag(3, words({0x200000, 0x1FFFFF})).finish()));
    EXPECT_FALSE(read_tags(Structure{}.tag(5, {0x80}).finish()));
}

TEST(Tags, UnterminatedTextEndsWithItsTag)
{
    auto const bytes = Structure{}.tag(1, {'a', 'b', 'c'}).finish();
    EXPECT_EQ(read_tags(bytes)->command_line, "abc");
}

TEST(Tags, RandomDamageStaysInside)
{
    std::mt19937 random{7};
    auto const good = typical();
    unsigned refused = 0;
    for (unsigned i = 0; i < 20000; ++i) {
        std::vector<std::uint8_t> bytes(good.begin(), good.begin() + 1 + random() % good.size());
        for (unsigned n = 1 + random() % 4; n != 0; --n)
            bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
        auto const exact = std::make_unique<std::uint8_t[]>(bytes.size());
        std::memcpy(exact.get(), bytes.data(), bytes.size());
        auto const tags = read_tags({exact.get(), bytes.size()});
        refused += tags ? 0 : 1;
        if (tags && !tags->command_line.empty()) {
            EXPECT_GE(reinterpret_cast<std::uint8_t const*>(tags->command_line.data()), exact.get());
            EXPECT_LE(reinterpret_cast<std::uint8_t const*>(tags->command_line.data()) + tags->command_line.size(),
                      exact.get() + bytes.size());
        }
    }
    EXPECT_GT(refused, 1000U);
}

TEST(Options, BootDrive)
{
    EXPECT_EQ(read_options("boot_drive=0x81").boot_drive, 0x81);
    EXPECT_EQ(read_options("  boot_drive=129 ").boot_drive, 129);
    EXPECT_FALSE(read_options("").boot_drive);
    EXPECT_TRUE(read_options("").good);
    for (char const* bad : {"boot_drive=", "boot_drive=0x", "boot_drive=256", "boot_drive=0x100", "boot_drive=hd1",
                            "boot_drive=-1", "boot_drive=99999999999999999999", "bootdrive=0x80", "quiet"})
        EXPECT_FALSE(read_options(bad).good) << bad;
}

TEST(NextDrive, OptionThenGrubsHardDiskThenTheFirst)
{
    auto const from = [](std::optional<std::uint8_t> option, std::optional<std::uint8_t> grub) {
        BootTags tags;
        tags.boot_drive = grub;
        return next_drive({option, true}, tags);
    };
    EXPECT_EQ(from(0x82, 0x80), 0x82);
    EXPECT_EQ(from({}, 0x81), 0x81);
    EXPECT_EQ(from({}, 0xE0), 0x80); // GRUB came from a CD
    EXPECT_EQ(from({}, 0x00), 0x80); // from a floppy
    EXPECT_EQ(from({}, {}), 0x80);
}

} // namespace
} // namespace undercroft::multiboot2
