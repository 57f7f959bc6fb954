// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>

namespace undercroft::ahci::fake {
extern std::atomic<std::uint64_t> log_lines;
} // namespace undercroft::ahci::fake
