// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps the files of a store in order while it is in use: retention by age and size, small files merged.
#include <chrono>
#include <mutex>
#include <optional>
#include <set>

#include "collector/store/closed_file.hpp"
#include "collector/store/hash_index.hpp"
#include "collector/store/record_file.hpp"
#include "collector/store/totals.hpp"

namespace undercroft::collector {

struct UpkeepOptions {
    std::optional<std::chrono::seconds> keep_age{};            ///< files written longer ago are deleted
    std::optional<std::uint64_t> keep_bytes{};                 ///< the oldest are deleted until no more is left
    bool compact = true;                                       ///< merge small record files
    std::uint64_t small_file_bytes = std::uint64_t{8} << 20;   ///< what is small
    std::uint64_t merged_file_bytes = std::uint64_t{64} << 20; ///< what is large enough
    std::size_t files_to_merge = 16;                           ///< fewer neighbours are left alone
};

class Upkeep {
public:
    Upkeep(fs::path store, UpkeepOptions options, HashIndex& known, StoreTotals& totals, ClosedFileObserver* observer)
        : store_{std::move(store)}, options_{options}, known_{known}, totals_{totals}, observer_{observer}
    {
    }

    [[nodiscard]] bool wanted() const { return options_.keep_age || options_.keep_bytes || options_.compact; }
    /// Does what is due. Throws StoreError; what was done so far stays in order.
    void run(std::chrono::system_clock::time_point now);

    /// While held, no file of the store is deleted or replaced.
    [[nodiscard]] std::unique_lock<std::mutex> keep_files() const { return std::unique_lock{files_mutex_}; }
    /// While held, no content block is forgotten: for the time from looking one up to publishing who refers to it.
    [[nodiscard]] std::unique_lock<std::mutex> keep_content() const { return std::unique_lock{content_mutex_}; }

private:
    struct Candidate {
        fs::path path;
        std::uint64_t bytes{};
        fs::file_time_type written;
    };

    [[nodiscard]] std::vector<fs::path> stream_folders() const;
    [[nodiscard]] std::string relative(fs::path const& path) const;
    [[nodiscard]] bool may_delete(fs::path const& path) const;

    void compact_folder(fs::path const& date_folder);
    void merge(fs::path const& folder, std::vector<FileRange> const& files);
    void drop_replaced(fs::path const& folder, std::vector<FileRange>& files);

    void retain(std::chrono::system_clock::time_point now);
    [[nodiscard]] std::vector<Candidate> oldest_first() const;
    [[nodiscard]] bool delete_records(Candidate const& file);
    void delete_unused_content(fs::file_time_type before);

    fs::path store_;
    UpkeepOptions options_;
    HashIndex& known_;
    StoreTotals& totals_;
    ClosedFileObserver* observer_;
    mutable std::mutex files_mutex_;
    mutable std::mutex content_mutex_; ///< taken before files_mutex_, never after
};

} // namespace undercroft::collector
