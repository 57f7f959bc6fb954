// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// How others (an upload to HDFS) learn of finished files of the store and keep them from being deleted too early.
#include <cstdint>
#include <string>
#include <vector>

namespace undercroft::collector {

enum class ClosedKind : std::uint8_t {
    records, ///< machine=*/boot=*/stream=*/date=*/*.parquet
    content, ///< content/*/*.parquet
    meta,    ///< undercroft-store.json, machine=*/boot=*/{hello,status}.json: replaced in place, announced each time
};

/// Paths are relative to the store, with '/'. Called from the store's threads, one call at a time for each thread;
/// must return soon and not throw.
class ClosedFileObserver {
public:
    virtual ~ClosedFileObserver() = default;

    /// The file has its final name and is synced. Content is announced before the records that refer to it. When a
    /// store is opened, what is there already is announced again (a crash may have fallen between rename and call).
    virtual void on_closed(std::string const& relative_path, std::uint64_t bytes, ClosedKind kind) = 0;

    /// False keeps the file from retention and compaction for now; they ask again later.
    [[nodiscard]] virtual bool may_delete(std::string const& relative_path) = 0;

    /// Compaction put `by` (announced just before) in the place of `old`, which are deleted after this call. A copy of
    /// the store must follow: put `by` there, then delete `old`. Until then readers see the overlap in the names
    /// (docs/formats/store.md) and leave out the files whose range lies within another's.
    virtual void on_replaced(std::vector<std::string> const& old, std::string const& by) = 0;
};

} // namespace undercroft::collector
