// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What has been uploaded, durably: STORE/hdfs/<target>.log. The store's own files are the spool; this list only says
// which of them HDFS has, and which files of HDFS have been replaced. Safe for use by several threads.
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "collector/store/closed_file.hpp"
#include "collector/store/files.hpp"

namespace undercroft::collector {

/// Identity of a file's content: a closed Parquet file never changes, hello.json and status.json do.
struct FileVersion {
    std::uint64_t bytes = 0;
    std::int64_t modified_ns = 0;
    bool operator==(FileVersion const&) const = default;
};

/// Throw StoreError; code() is ENOENT when the file is gone.
[[nodiscard]] FileVersion version_of(fs::path const& file);
/// Of what is open, even when its name has been given to another file since.
[[nodiscard]] FileVersion version_of(File const& file);

/// A file of HDFS that another one has taken the place of.
struct Replacement {
    std::string old;
    std::string by;
};

class HdfsSpool {
public:
    /// Takes the list's lock: one uploader for each store and target. Entries of files that the store no longer has
    /// are forgotten. Throws StoreError.
    HdfsSpool(fs::path store, std::string const& target);

    [[nodiscard]] bool has(std::string const& path, FileVersion const& version) const;
    /// In any version.
    [[nodiscard]] bool has_any(std::string const& path) const;
    void note_uploaded(std::string const& path, FileVersion const& version);
    /// Durable on return.
    void note_replaced(std::vector<std::string> const& old, std::string const& by);
    void note_deleted(std::string const& old);
    /// What still has to be deleted from HDFS, once `by` is there.
    [[nodiscard]] std::vector<Replacement> replacements() const;
    [[nodiscard]] fs::path const& store() const { return store_; }

private:
    void read();
    void apply(std::string_view line);
    void rewrite();
    void append(std::string const& lines, bool durable);

    fs::path store_;
    fs::path path_;
    std::string target_;
    File lock_;
    File log_;
    std::uint64_t log_bytes_ = 0;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, FileVersion> uploaded_; ///< guarded by mutex_, as are the log and ...
    std::vector<Replacement> replacements_;
};

struct StoreFile {
    std::string path; ///< relative to the store, with '/'
    ClosedKind kind{};
};

/// Every closed file, content before records. A file that is closed meanwhile may be left out, but content that a
/// listed record file refers to is listed.
[[nodiscard]] std::vector<StoreFile> list_closed_files(fs::path const& store);

} // namespace undercroft::collector
