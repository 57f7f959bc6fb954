// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// HDFS's own checksum of a file, from the local copy.
#include <cstdint>
#include <string>

#include "collector/hdfs/reply.hpp"
#include "collector/store/files.hpp"

namespace undercroft::collector {

/// 16 bytes, comparable with `like.md5`: CRCs of `like.bytes_per_crc` bytes each, big endian; an MD5 over those of each
/// block; an MD5 over the blocks' MD5s, padded. Memory is bounded whatever the sizes are. Throws StoreError.
[[nodiscard]] std::string hdfs_md5(File const& file, std::uint64_t bytes, std::uint64_t block_bytes,
                                   HdfsChecksum const& like);

} // namespace undercroft::collector
