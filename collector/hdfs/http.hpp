// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One HTTP connection pool (libcurl) with the bounds that a hostile or stuck server makes necessary.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "collector/store/files.hpp"

namespace undercroft::collector {

/// No answer: not reached, broken off, stalled, too long. The text has no URL in it (it may hold a token).
class HttpError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

enum class HttpMethod : std::uint8_t { get, put, remove };

struct HttpReply {
    long status = 0;
    std::string location; ///< of a redirect, absolute; empty: none
    std::string body;     ///< at most max_hdfs_reply_bytes
};

struct HttpOptions {
    std::string ca_file; ///< empty: the system's
    std::chrono::milliseconds connect_timeout{5'000};
    std::chrono::seconds stall_timeout{30};
};

class HttpClient {
public:
    /// A set `stop` ends any request within a second.
    HttpClient(HttpOptions options, std::atomic<bool> const& stop);
    ~HttpClient();
    HttpClient(HttpClient const&) = delete;
    HttpClient& operator=(HttpClient const&) = delete;

    /// `body`: sent with its present length `body_bytes`, read piece by piece; null: none. Throws HttpError.
    /// Redirects are told, not followed.
    [[nodiscard]] HttpReply send(HttpMethod method, std::string const& url, File const* body = nullptr,
                                 std::uint64_t body_bytes = 0);

    /// Bytes of bodies handed to the network so far; from any thread.
    [[nodiscard]] std::uint64_t bytes_sent() const { return bytes_sent_; }

private:
    struct Handle;
    HttpOptions options_;
    std::atomic<bool> const& stop_;
    std::atomic<std::uint64_t> bytes_sent_{0};
    std::unique_ptr<Handle> handle_;
};

} // namespace undercroft::collector
