// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "wire/aead.hpp"

namespace undercroft::ucctl {

/// The key in a key file's text: 64 hex digits, or the line `control_key = ...` of a sensor's configuration; blank
/// lines and '#' comments are skipped. The error says what is wrong without repeating the key.
[[nodiscard]] std::expected<wire::Key, std::string> parse_key(std::string_view text);

/// Reads and parses; `warning` is set when other users can read the file.
[[nodiscard]] std::expected<wire::Key, std::string> read_key_file(std::string const& path, std::string& warning);

} // namespace undercroft::ucctl
