// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/hash_index.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <stdexcept>

namespace undercroft::collector {
namespace {

constexpr ContentHash empty_entry{};
constexpr std::size_t first_entries = 1024;

std::uint64_t word(ContentHash const& hash, std::size_t index)
{
    std::uint64_t value = 0;
    std::memcpy(&value, hash.data() + 8 * index, sizeof(value));
    return value;
}

} // namespace

HashIndex::HashIndex(std::size_t limit_bytes)
    : limit_entries_{std::max(first_entries, std::bit_floor(limit_bytes / sizeof(ContentHash)))},
      table_(first_entries, empty_entry)
{
    std::random_device random;
    seed_ = (std::uint64_t{random()} << 32 | random()) | 1;
}

std::size_t HashIndex::home(ContentHash const& hash) const
{
    std::uint64_t const mixed = (word(hash, 0) ^ std::rotl(word(hash, 1) * seed_, 32)) * seed_;
    return static_cast<std::size_t>(mixed >> 20) & (table_.size() - 1);
}

/// The entry that holds the hash, or the empty one where it belongs.
std::size_t HashIndex::find(ContentHash const& hash) const
{
    std::size_t const mask = table_.size() - 1;
    std::size_t at = home(hash);
    while (table_[at] != empty_entry && table_[at] != hash)
        at = (at + 1) & mask;
    return at;
}

/// The entries behind it move up where their search would stop at the hole.
void HashIndex::erase(ContentHash const& hash)
{
    std::size_t const mask = table_.size() - 1;
    std::size_t hole = find(hash);
    if (table_[hole] == empty_entry)
        return;
    for (std::size_t at = (hole + 1) & mask; table_[at] != empty_entry; at = (at + 1) & mask) {
        std::size_t const wanted = home(table_[at]);
        if (((at - wanted) & mask) < ((at - hole) & mask))
            continue;
        table_[hole] = table_[at];
        hole = at;
    }
    table_[hole] = empty_entry;
    --size_;
}

bool HashIndex::contains(ContentHash const& hash) const
{
    return table_[find(hash)] == hash;
}

bool HashIndex::insert(ContentHash const& hash)
{
    if (contains(hash))
        return true;
    if ((size_ + 1) * 4 > table_.size() * 3) {
        if (table_.size() * 2 > limit_entries_)
            return false;
        grow();
    }
    table_[find(hash)] = hash;
    ++size_;
    return true;
}

void HashIndex::grow()
{
    std::vector<ContentHash> old(table_.size() * 2, empty_entry);
    old.swap(table_);
    for (ContentHash const& hash : old)
        if (hash != empty_entry)
            table_[find(hash)] = hash;
}

std::size_t ContentHashFold::operator()(ContentHash const& hash) const
{
    return word(hash, 2);
}

ContentHash sha256(std::uint8_t const* bytes, std::size_t count)
{
    // Looked up once: finding the algorithm by name costs as much as hashing a block.
    static EVP_MD const* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    ContentHash hash;
    if (algorithm == nullptr || EVP_Digest(bytes, count, hash.data(), nullptr, algorithm, nullptr) != 1)
        throw std::runtime_error{"SHA-256 is not available in this OpenSSL"};
    return hash;
}

} // namespace undercroft::collector
