// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Finds captured data by its hash. Blocks are fetched in batches, because a Parquet file is read by whole
// row groups: a batch reads each row group that it needs once.
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "analysis/read/record_scan.hpp"

namespace undercroft::analysis {

struct HashOfHash {
    std::size_t operator()(Hash const& hash) const
    {
        std::size_t value{};
        std::memcpy(&value, hash.data(), sizeof value);
        return value;
    }
};

using HashSet = std::unordered_set<Hash, HashOfHash>;
using Blocks = std::unordered_map<Hash, std::string, HashOfHash>;

inline constexpr std::size_t most_block_bytes = 4096;

[[nodiscard]] std::string to_hex(Hash const& hash);

class ContentStore {
public:
    /// Reads the hashes of all closed content files.
    explicit ContentStore(std::filesystem::path const& store);

    [[nodiscard]] bool contains(Hash const& hash) const { return places_.contains(hash); }
    /// The store's own copy of the hash, valid as long as this object; null when the store lacks the block.
    [[nodiscard]] Hash const* find(Hash const& hash) const;
    [[nodiscard]] std::uint64_t blocks() const { return places_.size(); }

    /// The blocks that the store has. Each is checked against its hash; a wrong one throws Error.
    [[nodiscard]] Blocks load(HashSet const& hashes) const;

private:
    struct Place {
        std::uint32_t file{};
        std::uint32_t row_group{};
    };
    std::vector<std::filesystem::path> files_;
    std::unordered_map<Hash, Place, HashOfHash> places_;
};

/// scan_records, with the data of each row (its `request` is not handed on): null when the row has no content or the
/// store lacks it.
ScanResult scan_with_content(std::vector<RecordFile> const& files, Columns columns, RecordFilter const& filter,
                             ContentStore const& content,
                             std::function<Visit(RecordRow const&, std::string const*)> const& visit);

} // namespace undercroft::analysis
