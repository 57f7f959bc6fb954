// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The set of content hashes that the store already has, in bounded memory.
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace undercroft::collector {

using ContentHash = std::array<std::uint8_t, 32>;

/// Open addressing, 32 bytes an entry, at most three quarters full; the table doubles until
/// its limit. At the limit new hashes are not remembered: their blocks may be stored again.
class HashIndex {
public:
    explicit HashIndex(std::size_t limit_bytes);
    [[nodiscard]] bool contains(ContentHash const& hash) const;
    /// False when there was no room to remember it.
    bool insert(ContentHash const& hash);
    /// Forgets it, if it is known.
    void erase(ContentHash const& hash);
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    [[nodiscard]] std::size_t home(ContentHash const& hash) const;
    [[nodiscard]] std::size_t find(ContentHash const& hash) const;
    void grow();

    std::size_t limit_entries_;
    std::uint64_t seed_; ///< secret, so that nobody can choose content that clusters
    std::size_t size_ = 0;
    std::vector<ContentHash> table_; ///< power of two; all zero = empty
};

/// Hash and unordered containers: any part of a SHA-256 will do.
struct ContentHashFold {
    std::size_t operator()(ContentHash const& hash) const;
};

[[nodiscard]] ContentHash sha256(std::uint8_t const* bytes, std::size_t count);

} // namespace undercroft::collector
