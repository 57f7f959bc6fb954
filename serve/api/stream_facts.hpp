// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the page must know of a stream before it draws: gaps, switched-off times, how far addresses reach, partitions.
#include <filesystem>

#include <nlohmann/json_fwd.hpp>

#include "serve/index/store_index.hpp"

namespace undercroft::serve {

[[nodiscard]] nlohmann::json stream_facts(std::filesystem::path const& store, BootIndex const& boot,
                                          analysis::StreamName stream, std::filesystem::path const& layouts);

} // namespace undercroft::serve
