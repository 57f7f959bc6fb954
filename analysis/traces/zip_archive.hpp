// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The little of ZIP that data sets use: stored and deflated entries, no encryption, no ZIP64, one part.
#include <cstdint>
#include <string>
#include <string_view>

namespace undercroft::analysis {

/// The text of the entry whose name ends in `file_name`. Throws Error that names what is wrong: not a ZIP file,
/// no such entry, an unknown method, damaged data, more than `most_bytes` unpacked.
[[nodiscard]] std::string unpack_zip_entry(std::string_view archive, std::string_view file_name,
                                           std::uint64_t most_bytes);

} // namespace undercroft::analysis
