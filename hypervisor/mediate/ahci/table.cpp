// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ahci/table.hpp"

#include <algorithm>
#include <bit>

namespace undercroft::ahci {
namespace {

using GuestWord [[gnu::may_alias]] = std::uint64_t;
constexpr std::uint32_t chunk_entries = 256;

/// One load, which the compiler may neither repeat nor split. `at` is 8-byte aligned.
std::uint64_t load_word(std::byte const* at, std::size_t index)
{
    return reinterpret_cast<GuestWord const volatile*>(at)[index];
}

/// 64-bit keyed fingerprint. It finds edits, it does not authenticate: the seed only
/// keeps a guest from computing colliding tables in advance.
class Fingerprint {
public:
    explicit Fingerprint(std::uint64_t seed) : state_{seed ^ 0x9e3779b97f4a7c15ULL} {}
    void add(std::uint64_t word) { state_ = std::rotl(state_ ^ word, 29) * 0xd6e8feb86659fd93ULL; }
    void add(CommandHeader const& h)
    {
        add(h.flags_and_entries);
        add(h.table_word);
    }
    void add(PrdtEntry const& e)
    {
        add(e.address_word);
        add(e.count_word);
    }
    [[nodiscard]] std::uint64_t value() const { return state_ ^ state_ >> 32; }

private:
    std::uint64_t state_;
};

/// Bytes past the FIS's stated length are not sent by the HBA: they count as 0.
bool read_fis(TableReader const& reader, CommandHeader const& header, CommandFis& fis, Fingerprint& print)
{
    std::byte const* const at = reader.memory->view(header.table(), fis.size());
    if (at == nullptr)
        return false;
    std::size_t const length = std::min<std::size_t>(header.fis_dwords() * std::size_t{4}, fis.size());
    for (std::size_t offset = 0; offset < fis.size(); offset += 8) {
        std::uint64_t word = 0;
        if (offset < length) {
            word = load_word(at, offset / 8);
            if (length - offset < 8)
                word &= 0xffffffffU;
            print.add(word);
        }
        __builtin_memcpy(fis.data() + offset, &word, 8);
    }
    return true;
}

PrdtEntry load_entry(TableReader const& reader, std::byte const* at, std::size_t index)
{
    return {load_word(at, 2 * index) & reader.address_mask, load_word(at, 2 * index + 1)};
}

/// Calls use(entry) for entries [0, count) until one is unreadable; returns how many were read.
template <typename F>
std::uint32_t each_entry(TableReader const& reader, CommandHeader const& header, std::uint32_t count, F use)
{
    Gpa at = header.table() + 0x80;
    std::uint32_t done = 0;
    std::uint32_t chunk = chunk_entries;
    while (done < count) {
        std::uint32_t const n = std::min(chunk, count - done);
        std::byte const* const bytes = reader.memory->view(at, n * sizeof(PrdtEntry));
        if (bytes == nullptr) {
            if (n == 1)
                break;
            chunk = n / 2; // RAM ends in this chunk: close in on the last readable entry
            continue;
        }
        for (std::uint32_t i = 0; i < n; ++i)
            use(load_entry(reader, bytes, i));
        at = at + n * sizeof(PrdtEntry);
        done += n;
    }
    return done;
}

} // namespace

bool read_header(TableReader const& reader, unsigned slot, CommandHeader& header)
{
    std::byte const* const at = reader.memory->view(reader.list + slot * 32ULL, 32);
    if (at == nullptr)
        return false;
    header.flags_and_entries = static_cast<std::uint32_t>(load_word(at, 0)); // upper half: PRDBC, the HBA's
    header.table_word = load_word(at, 1) & reader.address_mask;
    return true;
}

bool read_fis(TableReader const& reader, CommandHeader const& header, CommandFis& fis)
{
    Fingerprint unused{0};
    return read_fis(reader, header, fis, unused);
}

bool read_table(TableReader const& reader, CommandHeader const& header, std::span<PrdtEntry> room, CommandTable& table)
{
    Fingerprint print{reader.seed};
    print.add(header);
    if (!read_fis(reader, header, table.fis, print))
        return false;
    PrdtEntry* into = room.data();
    std::uint32_t const count = each_entry(reader, header, header.entries(), [&](PrdtEntry const& entry) {
        *into++ = entry;
        print.add(entry);
    });
    table.prdt = room.first(count);
    table.fingerprint = print.value();
    table.complete = count == header.entries();
    return true;
}

bool table_unchanged(TableReader const& reader, unsigned slot, std::uint32_t entries, std::uint64_t fingerprint)
{
    CommandHeader header;
    CommandFis fis;
    Fingerprint print{reader.seed};
    if (!read_header(reader, slot, header))
        return false;
    print.add(header);
    if (!read_fis(reader, header, fis, print))
        return false;
    if (each_entry(reader, header, entries, [&](PrdtEntry const& entry) { print.add(entry); }) != entries)
        return false;
    return print.value() == fingerprint;
}

bool PrdtExtents::next(observe::Extent& extent)
{
    if (rest_.empty() || bytes_ == 0)
        return false;
    extent = {rest_.front().address(), rest_.front().bytes()};
    rest_ = rest_.subspan(1);
    while (!rest_.empty() && extent.bytes < bytes_ && rest_.front().address() == extent.address + extent.bytes) {
        extent.bytes += rest_.front().bytes();
        rest_ = rest_.subspan(1);
    }
    extent.bytes = std::min(extent.bytes, bytes_);
    bytes_ -= extent.bytes;
    return true;
}

} // namespace undercroft::ahci
