// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The few WebHDFS operations that an upload needs. One thread at a time.
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>

#include "collector/hdfs/http.hpp"
#include "collector/hdfs/options.hpp"
#include "collector/hdfs/reply.hpp"

namespace undercroft::collector {

/// The operation did not happen, or nobody knows whether it did; trying again is always right.
/// The text names operation, path and reason.
class HdfsError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class WebHdfs {
public:
    /// Throws HdfsError when the options are wrong. Paths of all operations are relative to the URL's folder.
    WebHdfs(HdfsOptions options, std::atomic<bool> const& stop);

    /// Null: there is no such file.
    [[nodiscard]] std::optional<HdfsFileStatus> status(std::string const& path);
    /// With its parents; no error when it is there already. Empty: the URL's folder itself.
    void make_folder(std::string const& path);
    /// Makes or overwrites the file with the local file's first `bytes` bytes. Throws StoreError when that cannot be
    /// read.
    void create(std::string const& path, File const& local, std::uint64_t bytes);
    /// Also over a file that is there.
    void rename(std::string const& from, std::string const& to);
    /// No error when it is not there.
    void remove(std::string const& path);
    [[nodiscard]] HdfsChecksum checksum(std::string const& path);
    /// Of files, since the start; from any thread. Grows while a file is on its way.
    [[nodiscard]] std::uint64_t bytes_sent() const { return http_.bytes_sent(); }

private:
    using Parameters = std::string; ///< "&name=value" ...
    [[nodiscard]] HttpReply ask(HttpMethod method, char const* operation, std::string const& path,
                                Parameters const& parameters);
    [[nodiscard]] std::optional<HttpReply> ask_one(HttpMethod method, std::string const& target, std::string& problem);
    [[nodiscard]] std::string identity() const;
    [[nodiscard]] std::string redirect_of(char const* operation, std::string const& path, HttpReply const& reply) const;
    void expect_true(char const* operation, std::string const& path, HttpReply const& reply) const;

    HdfsOptions options_;
    HdfsUrl url_;
    HttpClient http_;
    std::size_t active_ = 0; ///< of url_.name_nodes, the one that answered last
};

} // namespace undercroft::collector
