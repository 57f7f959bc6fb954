// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What a NameNode or DataNode answers. The other side may be anything: whatever is not exactly what the WebHDFS
// documentation says is no answer.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace undercroft::collector {

/// Longer bodies are not read.
inline constexpr std::size_t max_hdfs_reply_bytes = std::size_t{64} << 10;

struct RemoteException {
    std::string exception; ///< class name without package
    std::string message;   ///< one line, printable, cut
};
[[nodiscard]] std::optional<RemoteException> parse_remote_exception(std::string_view body);

[[nodiscard]] std::optional<bool> parse_boolean(std::string_view body);

struct HdfsFileStatus {
    bool directory = false;
    std::uint64_t bytes = 0;
    std::uint64_t block_bytes = 0; ///< of a file 0 or at least 1,024
};
[[nodiscard]] std::optional<HdfsFileStatus> parse_file_status(std::string_view body);

/// "MD5-of-<n>MD5-of-<m>CRC32C": an MD5 over the MD5s of the blocks, each over the CRCs of its chunks.
struct HdfsChecksum {
    bool castagnoli = false;         ///< CRC32C, not CRC32
    std::uint32_t bytes_per_crc = 0; ///< a chunk; 64 to 2^20
    std::string md5;                 ///< 16 bytes
};
[[nodiscard]] std::optional<HdfsChecksum> parse_file_checksum(std::string_view body);

/// A DataNode (or gateway) to send data to: a WebHDFS address of the same kind. TLS is never left.
[[nodiscard]] bool is_acceptable_redirect(std::string_view location, bool tls);

/// One line of at most `most` characters without control characters, for logs.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most);

} // namespace undercroft::collector
