// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Content blocks, each distinct block once. A journal segment gives at most one content file, named by its number.
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_set>

#include "collector/store/hash_index.hpp"
#include "collector/store/parquet_file.hpp"

namespace undercroft::collector {

class ContentFile {
public:
    ContentFile(fs::path const& store, std::uint64_t segment, HashIndex& known);
    ~ContentFile();

    struct Added {
        ContentHash hash;
        bool is_new;
    };
    /// Takes the block unless the store has it already; the hash either way. From any thread.
    [[nodiscard]] Added add(std::span<std::uint8_t const> block);
    /// Makes the file final, if there is one; only now the index learns its hashes.
    std::optional<fs::path> publish();
    [[nodiscard]] std::uint64_t new_blocks() const { return new_.size(); }

private:
    struct Columns;
    void flush();

    fs::path path_;
    std::mutex mutex_;
    HashIndex& known_;
    std::unordered_set<ContentHash, ContentHashFold> new_;
    std::unique_ptr<Columns> columns_;
    std::unique_ptr<ParquetFile> file_;
};

/// Fills the index from the content files of the store; removes `.part` files. Returns the highest segment number used.
[[nodiscard]] std::uint64_t load_content_index(fs::path const& store, HashIndex& known);

} // namespace undercroft::collector
