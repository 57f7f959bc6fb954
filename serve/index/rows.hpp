// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Records themselves, for views so narrow that cells would be too coarse: row groups decoded once and kept as long as
// memory allows.
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "analysis/read/record_scan.hpp"
#include "serve/index/file_index.hpp"

namespace undercroft::serve {

/// A record without its content.
struct PlainRow {
    std::uint64_t sequence{};
    std::int64_t time_ns{};
    std::uint64_t address{};
    std::uint32_t length{};
    float entropy{};
    std::uint16_t source{};
    std::uint16_t flags{};
    analysis::RecordKind kind{};
    std::uint8_t page_class{};

    [[nodiscard]] analysis::RecordRow row() const
    {
        return {.sequence = sequence,
                .time_ns = time_ns,
                .address = address,
                .length = length,
                .source = source,
                .flags = flags,
                .kind = kind,
                .page_class = page_class,
                .entropy = entropy};
    }
    static PlainRow of(analysis::RecordRow const& row)
    {
        return {.sequence = row.sequence,
                .time_ns = row.time_ns,
                .address = row.address,
                .length = row.length,
                .entropy = row.entropy,
                .source = row.source,
                .flags = row.flags,
                .kind = row.kind,
                .page_class = row.page_class};
    }
};

using Rows = std::vector<PlainRow>;

/// What the journal has and no closed file yet, in pieces that do not change, so that more is added cheaply.
struct Tail {
    std::vector<std::shared_ptr<Rows const>> pieces; ///< none is empty
    std::map<std::uint64_t, std::string> requests;   ///< of rows memory_mode, by sequence number

    [[nodiscard]] bool empty() const { return pieces.empty(); }
    [[nodiscard]] PlainRow const& front() const { return pieces.front()->front(); }
    [[nodiscard]] PlainRow const& back() const { return pieces.back()->back(); }
    template <typename Visit>
    void for_each(Visit visit) const
    {
        for (auto const& piece : pieces)
            for (PlainRow const& row : *piece)
                visit(row);
    }
};

class RowCache {
public:
    explicit RowCache(std::size_t bytes) : limit_{bytes} {}

    /// Rows of one row group. Two that want the same wait for one reading. Throws analysis::Error.
    [[nodiscard]] std::shared_ptr<Rows const> get(analysis::RecordFile const& file, int group);
    [[nodiscard]] std::size_t bytes() const;

private:
    using Key = std::pair<std::string, int>;
    struct Slot {
        std::shared_ptr<Rows const> rows; ///< null: being read
        std::list<Key>::iterator age;
    };
    void make_room();

    std::size_t limit_;
    mutable std::mutex mutex_;
    std::condition_variable read_;
    std::map<Key, Slot> slots_;
    std::list<Key> ages_; ///< the one used last in front; only those that are read
    std::size_t bytes_{};
};

} // namespace undercroft::serve
