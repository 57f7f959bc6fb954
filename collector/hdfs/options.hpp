// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where closed files of the store are copied to, and how.
#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace undercroft::collector {

/// How an uploaded file is compared with the local one before it gets its final name.
enum class HdfsVerify : std::uint8_t {
    length,   ///< the length that the NameNode says
    checksum, ///< also the checksum that the DataNodes compute (GETFILECHECKSUM)
};

struct HdfsOptions {
    /// webhdfs://HOST:PORT/FOLDER, or swebhdfs:// for TLS. Several NameNodes of one cluster: HOST:PORT,HOST:PORT.
    std::string url;
    /// Sent as user.name, which a cluster without Kerberos believes. Empty: the cluster's own default.
    std::string user;
    /// File with a delegation token, used instead of `user`; read again for every request, so that it can be renewed.
    std::string token_file;
    /// PEM file of the authorities that sign the cluster's certificates. Empty: the system's.
    std::string ca_file;
    /// Copies of each block; 0: the cluster's default.
    int replication = 0;
    /// Size of a block in MiB; 0: the cluster's default.
    std::uint64_t block_mib = 0;
    /// Octal, as HDFS takes them. Empty: the cluster's default.
    std::string file_permission = "640";
    std::string folder_permission = "750";
    HdfsVerify verify = HdfsVerify::length;
    std::chrono::milliseconds connect_timeout{5'000};
    /// A transfer of which no byte moves for this long is given up and tried again.
    std::chrono::seconds stall_timeout{30};
    /// The wait after a failure doubles from the first to the most.
    std::chrono::milliseconds retry_first{500};
    std::chrono::milliseconds retry_most{60'000};
    /// hello.json and status.json change all the time: a copy is replaced no more often than this.
    std::chrono::seconds meta_interval{60};
    /// How long collect goes on uploading after it was asked to stop. What is left then waits for the next start.
    std::chrono::seconds drain_time{10};
};

struct HdfsUrl {
    bool tls = false;
    std::vector<std::string> name_nodes; ///< HOST:PORT
    std::string folder;                  ///< begins with '/', does not end with one; empty: the root
};

/// Or what is wrong with it, for the user.
[[nodiscard]] std::expected<HdfsUrl, std::string> parse_hdfs_url(std::string_view text);

/// What is wrong with the options, for the user; empty: nothing. Reads no file.
[[nodiscard]] std::string hdfs_options_problem(HdfsOptions const& options);

/// A path as part of a URL. '/' and '=' stay.
[[nodiscard]] std::string percent_encode(std::string_view path);

} // namespace undercroft::collector
