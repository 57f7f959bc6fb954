// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Follows a store: a thread of its own finds new files, makes their indexes (oldest of a stream first, the boot written
// last before others) and tells the streams.
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serve/index/stream_index.hpp"

namespace undercroft::serve {

struct BootName {
    std::string machine; ///< 32 hex digits
    std::string boot;
    auto operator<=>(BootName const&) const = default;
};

struct BootIndex {
    BootIndex(analysis::Boot found, RowCache& cache)
        : boot{std::move(found)}, storage{analysis::StreamName::storage, cache},
          memory{analysis::StreamName::memory, cache}
    {
    }
    analysis::Boot const boot; ///< folder and names; its lists of files are those of the first look
    StreamIndex storage;
    StreamIndex memory;

    [[nodiscard]] StreamIndex const& stream(analysis::StreamName name) const
    {
        return name == analysis::StreamName::memory ? memory : storage;
    }
};

struct StoreIndexOptions {
    std::filesystem::path store;
    std::filesystem::path folder; ///< of the indexes
    std::size_t row_cache_bytes = std::size_t{384} << 20;
};

class StoreIndex {
public:
    explicit StoreIndex(StoreIndexOptions options);
    ~StoreIndex();
    StoreIndex(StoreIndex const&) = delete;
    StoreIndex& operator=(StoreIndex const&) = delete;

    [[nodiscard]] std::filesystem::path const& store() const { return options_.store; }
    /// By name. A boot stays until its folder is gone.
    [[nodiscard]] std::vector<std::shared_ptr<BootIndex>> boots() const;
    [[nodiscard]] std::shared_ptr<BootIndex> find(BootName const& name) const;
    /// What is wrong with the store now, one text for each file concerned.
    [[nodiscard]] std::vector<std::string> problems() const;
    /// Of somebody else who reads the store.
    void set_problem(std::string const& name, std::string const& text);

private:
    void run();
    void look();
    void follow(BootIndex& boot, StreamIndex& stream, std::vector<analysis::RecordFile> const& files);
    [[nodiscard]] std::filesystem::path index_path(BootIndex const& boot, analysis::RecordFile const& file) const;
    [[nodiscard]] std::shared_ptr<FileIndex const> obtain(std::filesystem::path const& path,
                                                          analysis::RecordFile const& file, RowBefore const& before,
                                                          bool may_build);
    [[nodiscard]] bool stopping() const;
    [[nodiscard]] bool has_problem(std::filesystem::path const& file) const;

    StoreIndexOptions options_;
    RowCache cache_;
    mutable std::mutex mutex_; ///< guards what follows
    std::condition_variable wake_;
    bool stopping_ = false;
    std::map<BootName, std::shared_ptr<BootIndex>> boots_;
    std::map<std::string, std::string> problems_; ///< by file
    std::thread thread_;
};

} // namespace undercroft::serve
