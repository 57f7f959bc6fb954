// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The column `request` of the memory stream (docs/formats/store.md).
#include <cstdint>
#include <span>
#include <string>

namespace undercroft::collector {

/// `bytes`: a wire::MemoryRequest, as the content of a record of kind memory_mode.
[[nodiscard]] std::string memory_request_json(std::span<std::uint8_t const> bytes);

} // namespace undercroft::collector
