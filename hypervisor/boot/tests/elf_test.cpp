// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// load_elf() with a file made by hand, byte offsets as in the ELF-64 Object File Format, and with
// that file damaged. Memory is exactly as large as announced, so that AddressSanitizer sees any step outside.
#include "hypervisor/boot/elf.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <iterator>
#include <random>
#include <vector>

namespace undercroft::boot {
namespace {

constexpr std::size_t memory_bytes = 0x3000;
constexpr std::size_t segments_at = 64, segment_bytes = 56;
constexpr std::size_t code_at = 0x200, data_at = 0x300, rela_at = 0x310, dynamic_at = 0x340, file_bytes = 0x380;
constexpr std::uint64_t code_address = 0x1000, data_address = 0x2000, data_memory = 0x200;

struct Field {
    char const* name;
    std::size_t offset;
    unsigned bytes;
};
constexpr Field header_fields[] = {
    {"e_type", 16, 2},      {"e_machine", 18, 2}, {"e_version", 20, 4},  {"e_entry", 24, 8},     {"e_phoff", 32, 8},
    {"e_shoff", 40, 8},     {"e_flags", 48, 4},   {"e_ehsize", 52, 2},   {"e_phentsize", 54, 2}, {"e_phnum", 56, 2},
    {"e_shentsize", 58, 2}, {"e_shnum", 60, 2},   {"e_shstrndx", 62, 2},
};
constexpr Field segment_fields[] = {
    {"p_type", 0, 4},   {"p_flags", 4, 4},   {"p_offset", 8, 8}, {"p_vaddr", 16, 8},
    {"p_paddr", 24, 8}, {"p_filesz", 32, 8}, {"p_memsz", 40, 8}, {"p_align", 48, 8},
};

class File {
public:
    File() : bytes(file_bytes)
    {
        std::memcpy(bytes.data(),
                    "\x7f"
                    "ELF\x02\x01\x01",
                    7);
        put(16, 2, 3);  // ET_DYN
        put(18, 2, 62); // EM_X86_64
        put(20, 4, 1);
        put(24, 8, code_address + 0x10);
        put(32, 8, segments_at);
        put(52, 2, 64);
        put(54, 2, segment_bytes);
        put(56, 2, 3);
        segment(0, 1, code_at, code_address, 0x100, 0x100);
        segment(1, 1, data_at, data_address, 0x80, data_memory);
        segment(2, 2, dynamic_at, data_address + (dynamic_at - data_at), 0x40, 0x40);
        for (std::size_t i = 0; i < 0x100; ++i)
            bytes[code_at + i] = static_cast<std::uint8_t>(i);
        put(rela_at, 8, data_address); // the data's first word is the address of code + 20h
        put(rela_at + 8, 8, 8);        // R_X86_64_RELATIVE
        put(rela_at + 16, 8, code_address + 0x20);
        put(dynamic_at, 8, 7); // DT_RELA
        put(dynamic_at + 8, 8, data_address + (rela_at - data_at));
        put(dynamic_at + 16, 8, 8); // DT_RELASZ
        put(dynamic_at + 24, 8, 24);
        put(dynamic_at + 32, 8, 0); // DT_NULL: what follows does not count
        put(dynamic_at + 48, 8, 8);
        put(dynamic_at + 56, 8, ~0ULL);
    }
    void put(std::size_t at, unsigned count, std::uint64_t value)
    {
        for (unsigned i = 0; i < count; ++i)
            bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
    void segment(unsigned index, std::uint32_t type, std::uint64_t offset, std::uint64_t address, std::uint64_t in_file,
                 std::uint64_t in_memory)
    {
        std::size_t const at = segments_at + index * segment_bytes;
        put(at, 4, type);
        put(at + 8, 8, offset);
        put(at + 16, 8, address);
        put(at + 32, 8, in_file);
        put(at + 40, 8, in_memory);
    }
    std::vector<std::uint8_t> bytes;
};

struct Loaded {
    explicit Loaded(std::vector<std::uint8_t> const& file, std::size_t size = memory_bytes)
        : memory(size, 0xEE), image{load_elf(file.data(), file.size(), base(), memory.size())}
    {
    }
    [[nodiscard]] std::uint64_t base() const { return reinterpret_cast<std::uint64_t>(memory.data()); }
    [[nodiscard]] bool ok() const { return image.entry != nullptr; }
    /// Whatever was accepted lies in the memory.
    [[nodiscard]] bool sane() const
    {
        if (!ok())
            return true;
        auto const entry = reinterpret_cast<std::uint64_t>(image.entry);
        return entry >= base() && entry + 64 <= image.end && image.end <= base() + memory.size();
    }
    std::vector<std::uint8_t> memory;
    ElfImage image;
};

TEST(Elf, LoadsAndRelocates)
{
    File const file;
    Loaded const loaded{file.bytes};
    ASSERT_TRUE(loaded.ok());
    EXPECT_EQ(loaded.image.entry, loaded.memory.data() + code_address + 0x10);
    EXPECT_EQ(loaded.image.end, loaded.base() + data_address + data_memory);
    EXPECT_EQ(loaded.memory[code_address + 0x42], 0x42);
    std::uint64_t word = 0;
    std::memcpy(&word, &loaded.memory[data_address], sizeof(word));
    EXPECT_EQ(word, loaded.base() + code_address + 0x20);
    EXPECT_EQ(loaded.memory[data_address + 0x80], 0) << "not in the file: zero";
    EXPECT_EQ(loaded.memory[data_address + data_memory - 1], 0);
    EXPECT_EQ(loaded.memory[data_address + data_memory], 0xEE) << "beyond the image: untouched";
}

TEST(Elf, EveryLengthShorterThanItsSegmentsIsRefused)
{
    File const file;
    for (std::size_t length = 0; length < file_bytes; ++length)
        EXPECT_FALSE(
            Loaded{std::vector(file.bytes.begin(), file.bytes.begin() + static_cast<std::ptrdiff_t>(length))}.ok())
            << length;
}

TEST(Elf, MemoryTooSmall)
{
    File const file;
    EXPECT_TRUE(Loaded(file.bytes, data_address + data_memory).ok());
    EXPECT_FALSE(Loaded(file.bytes, data_address + data_memory - 1).ok());
    EXPECT_FALSE(Loaded(file.bytes, 1).ok());
}

TEST(Elf, WhatIsRefused)
{
    struct Damage {
        char const* name;
        std::size_t at;
        unsigned bytes;
        std::uint64_t value;
    };
    constexpr std::size_t code = segments_at, data = segments_at + segment_bytes, dynamic = data + segment_bytes;
    constexpr std::uint64_t top = ~0ULL;
    for (Damage const& damage : {
             Damage{"magic", 0, 1, 0x7E},
             {"32 bits", 4, 1, 1},
             {"big endian", 5, 1, 2},
             {"not position-independent", 16, 2, 2},
             {"another machine", 18, 2, 183},
             {"entry outside", 24, 8, data_address + data_memory - 63},
             {"entry wraps", 24, 8, top - 3},
             {"segment table outside", 32, 8, file_bytes - 1},
             {"segment table wraps", 32, 8, top - 55},
             {"segment entries of another size", 54, 2, 32},
             {"too many segments", 56, 2, 0xFFFF},
             {"no segments", 56, 2, 0},
             {"file offset outside", code + 8, 8, file_bytes - 0xFF},
             {"file offset wraps", code + 8, 8, top - 0x7F},
             {"address outside", data + 16, 8, memory_bytes - data_memory + 1},
             {"address wraps", data + 16, 8, top - 0xFF},
             {"more in the file than in memory", code + 40, 8, 0xFF},
             {"memory size wraps", data + 40, 8, top - data_address + 2},
             {"dynamic section outside", dynamic + 16, 8, data_address + data_memory - 0x3F},
             {"dynamic section wraps", dynamic + 40, 8, top},
             {"relocations outside", dynamic_at + 8, 8, data_address + data_memory - 23},
             {"relocations wrap", dynamic_at + 24, 8, top},
             {"relocation outside", rela_at, 8, data_address + data_memory - 7},
             {"relocation wraps", rela_at, 8, top - 3},
             {"relocation against a symbol", rela_at + 8, 8, 6},
             {"packed relocations", dynamic_at + 16, 8, 36},
         }) {
        File file;
        file.put(damage.at, damage.bytes, damage.value);
        EXPECT_FALSE(Loaded{file.bytes}.ok()) << damage.name;
    }
}

TEST(Elf, MisalignedTablesAreNoHarm)
{
    File file;
    file.put(rela_at, 8, data_address + 3);
    Loaded const loaded{file.bytes};
    ASSERT_TRUE(loaded.ok());
    std::uint64_t word = 0;
    std::memcpy(&word, &loaded.memory[data_address + 3], sizeof(word));
    EXPECT_EQ(word, loaded.base() + code_address + 0x20);
}

TEST(Elf, EveryFieldHostile)
{
    std::vector<Field> fields{std::begin(header_fields), std::end(header_fields)};
    for (unsigned i = 0; i < 3; ++i)
        for (Field field : segment_fields) {
            field.offset += segments_at + i * segment_bytes;
            fields.push_back(field);
        }
    for (std::size_t at = rela_at; at < file_bytes; at += 8)
        fields.push_back({"table", at, 8});
    std::vector<std::uint64_t> values;
    for (std::uint64_t const near : {std::uint64_t{0}, std::uint64_t{file_bytes}, std::uint64_t{memory_bytes},
                                     std::uint64_t{1} << 31, std::uint64_t{1} << 32, std::uint64_t{1} << 63})
        for (std::uint64_t const off : {0, 1, 7, 8, 55, 56, 63, 64}) {
            values.push_back(near + off);
            values.push_back(near - off);
        }
    for (Field const& field : fields)
        for (std::uint64_t const value : values) {
            File file;
            file.put(field.offset, field.bytes, value);
            EXPECT_TRUE(Loaded{file.bytes}.sane()) << field.name << " = " << std::hex << value;
        }
}

TEST(Elf, RandomDamage)
{
    std::mt19937 random{2};
    for (unsigned i = 0; i < 20'000; ++i) {
        File file;
        for (unsigned n = random() % 6 + 1; n > 0; --n)
            file.bytes[random() % (random() % 2 == 0 ? code_at : file_bytes)] = static_cast<std::uint8_t>(random());
        ASSERT_TRUE(Loaded{file.bytes}.sane()) << i;
    }
}

} // namespace
} // namespace undercroft::boot
