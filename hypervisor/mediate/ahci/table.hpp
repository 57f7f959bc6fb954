// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies of what a guest keeps in memory for one command slot: list entry, command FIS, PRDT.
// Every byte is read from guest memory once; everything later works on the copy.
#include <array>
#include <cstdint>
#include <span>

#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/mediate/ata/command.hpp"
#include "hypervisor/observe/disk_command.hpp"

namespace undercroft::ahci {

using ata::Command;
using ata::CommandFis;
using ata::Operation;

/// A PRDT entry as two little-endian words.
struct PrdtEntry {
    std::uint64_t address_word = 0;
    std::uint64_t count_word = 0;

    /// Both fields lack their lowest bit: data is made of 16-bit words, bit 0 of the count is always 1.
    [[nodiscard]] Gpa address() const { return Gpa{address_word & ~std::uint64_t{1}}; }
    [[nodiscard]] std::uint64_t bytes() const { return ((count_word >> 32 & 0x3fffffU) | 1U) + 1U; }
    [[nodiscard]] bool well_formed() const { return (address_word & 1U) == 0 && (count_word >> 32 & 1U) != 0; }
};
static_assert(sizeof(PrdtEntry) == 16);

inline constexpr std::uint32_t max_prdt_entries = 65535;

/// Room for the copy of a PRDT that does not fit a port's own room; shared, one command at a time.
struct LargeTable {
    core::Spinlock lock;
    std::array<PrdtEntry, max_prdt_entries> entries;
};

/// Where and how a port's tables are read.
struct TableReader {
    core::GuestMemory const* memory = nullptr;
    Gpa list;
    std::uint64_t address_mask = ~std::uint64_t{0}; ///< what the HBA can address: 4 GiB without CAP.S64A
    std::uint64_t seed = 0;                         ///< of fingerprints; the guest does not know it
};

struct CommandHeader {
    std::uint32_t flags_and_entries = 0;
    std::uint64_t table_word = 0;

    [[nodiscard]] std::uint32_t entries() const { return flags_and_entries >> 16; }
    [[nodiscard]] unsigned fis_dwords() const { return flags_and_entries & 0x1fU; }
    [[nodiscard]] unsigned multiplier_port() const { return flags_and_entries >> 12 & 0xfU; }
    [[nodiscard]] Gpa table() const { return Gpa{table_word & ~std::uint64_t{0x7f}}; }
    [[nodiscard]] std::uint64_t table_bytes() const { return 0x80 + std::uint64_t{entries()} * sizeof(PrdtEntry); }
    [[nodiscard]] bool well_formed() const
    {
        return fis_dwords() >= 2 && fis_dwords() <= 16 && (table_word & 0x7fU) == 0;
    }
};

struct CommandTable {
    CommandFis fis;                  ///< set by read_table, like the rest
    std::span<PrdtEntry const> prdt; ///< entries that could be read
    std::uint64_t fingerprint = 0;   ///< over header, FIS and these entries
    bool complete = false;           ///< all entries of the header could be read
};

/// False: the list entry is not in guest RAM.
[[nodiscard]] bool read_header(TableReader const& reader, unsigned slot, CommandHeader& header);
/// The command FIS alone. False: it is not in guest RAM.
[[nodiscard]] bool read_fis(TableReader const& reader, CommandHeader const& header, CommandFis& fis);
/// False: the command FIS is not in guest RAM. `room` holds at least header.entries().
[[nodiscard]] bool read_table(TableReader const& reader, CommandHeader const& header, std::span<PrdtEntry> room,
                              CommandTable& table);
/// Reads list entry, FIS and the first `entries` PRDT entries again. False: unreadable now, or different.
[[nodiscard]] bool table_unchanged(TableReader const& reader, unsigned slot, std::uint32_t entries,
                                   std::uint64_t fingerprint);

/// Walks a copied PRDT, joining entries that follow each other in memory, for at most `bytes` bytes.
class PrdtExtents final : public observe::ExtentSource {
public:
    PrdtExtents(std::span<PrdtEntry const> entries, std::uint64_t bytes) : rest_{entries}, bytes_{bytes} {}
    [[nodiscard]] bool next(observe::Extent& extent) override;

private:
    std::span<PrdtEntry const> rest_;
    std::uint64_t bytes_;
};

} // namespace undercroft::ahci
