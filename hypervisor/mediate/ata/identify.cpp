// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ata/identify.hpp"

namespace undercroft::ata {
namespace {

class Words {
public:
    explicit Words(std::span<std::byte const, identify_bytes> data) : data_{data} {}
    [[nodiscard]] std::uint16_t operator[](unsigned index) const
    {
        return static_cast<std::uint16_t>(static_cast<unsigned>(data_[std::size_t{2} * index]) |
                                          static_cast<unsigned>(data_[2 * index + 1]) << 8);
    }
    [[nodiscard]] std::uint32_t dword(unsigned index) const
    {
        return (*this)[index] | static_cast<std::uint32_t>((*this)[index + 1]) << 16;
    }
    /// ATA strings hold the first of two characters in the upper byte.
    template <std::size_t N>
    void text(unsigned first, char (&into)[N]) const
    {
        for (std::size_t i = 0; i < N; ++i)
            into[i] = static_cast<char>(data_[std::size_t{2} * first + (i ^ 1U)]);
    }

private:
    std::span<std::byte const, identify_bytes> data_;
};

bool checksum_holds(std::span<std::byte const, identify_bytes> data)
{
    if (data[510] != std::byte{0xa5})
        return true; // word 255 without the signature carries no checksum
    unsigned sum = 0;
    for (std::byte b : data)
        sum += static_cast<unsigned>(b);
    return (sum & 0xffU) == 0;
}

/// Word 106 is valid when bit 14 is set and bit 15 clear; bit 12: words 117-118 give the size in 16-bit words.
std::uint64_t sector_bytes(Words w)
{
    bool const stated = (w[106] & 0xc000U) == 0x4000U && (w[106] & 0x1000U) != 0;
    return stated ? static_cast<std::uint64_t>(w.dword(117)) * 2 : 512;
}

std::uint64_t capacity(Words w)
{
    bool const extended = (w[83] & 0xc000U) == 0x4000U && (w[83] & 0x0400U) != 0;
    if (extended) {
        std::uint64_t const sectors = w.dword(100) | static_cast<std::uint64_t>(w.dword(102)) << 32;
        if (sectors != 0)
            return sectors;
    }
    return w.dword(60);
}

/// The current translation (words 54-56) when word 53 says that it is valid, else the default one.
Geometry geometry(Words w)
{
    if ((w[53] & 1U) != 0 && w[55] != 0 && w[56] != 0)
        return {w[55], w[56]};
    return {w[3], w[6]};
}

} // namespace

bool parse_identify(std::span<std::byte const, identify_bytes> data, Identity& identity)
{
    Words const w{data};
    std::uint64_t const bytes = sector_bytes(w);
    bool const ata = (w[0] & 0x8000U) == 0;
    if (!ata || !checksum_holds(data) || bytes < 512 || bytes > 32768 || bytes % 512 != 0)
        return false;
    identity.sector_bytes = static_cast<std::uint16_t>(bytes);
    identity.sectors = capacity(w) & ((1ULL << 48) - 1);
    identity.geometry = geometry(w);
    identity.multiple = (w[59] & 0x0100U) != 0 ? w[59] & 0xffU : 0;
    w.text(27, identity.model);
    w.text(10, identity.serial);
    return true;
}

} // namespace undercroft::ata
