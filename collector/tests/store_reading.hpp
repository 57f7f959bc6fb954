// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a store holds, as its readers see it: closed Parquet files only.
#include <map>
#include <vector>

#include "collector/store/record_file.hpp"

namespace undercroft::collector::test {

struct StoredRow {
    std::string kind;
    std::uint32_t length{};
    std::uint16_t flags{};
    std::uint64_t slot{};
    std::optional<ContentHash> content;
};

struct StoreContents {
    std::multimap<std::uint64_t, StoredRow> rows; ///< by seq
    std::multimap<ContentHash, std::string> blocks;
    std::size_t parts = 0;
    std::size_t segments = 0;
};

[[nodiscard]] StoreContents read_store(fs::path const& store);

} // namespace undercroft::collector::test
