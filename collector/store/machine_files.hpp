// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// hello.json and status.json: what a sensor last said of itself.
#include "collector/ingest/decode.hpp"
#include "collector/store/files.hpp"

namespace undercroft::collector {

/// Replaced in one step, but not synced: a sensor repeats it to every start of a collector. The file. Throws
/// StoreError.
fs::path write_hello(fs::path const& store, BootKey const& boot, HelloMessage const& hello);
/// Replaced in one step, but not synced: the next one follows within a second. The file. Throws StoreError.
fs::path write_status(fs::path const& store, BootKey const& boot, StatusMessage const& status);

/// Header counters of the files that are there, 0 if none: older datagrams are replays.
struct StoredCounters {
    std::uint64_t hello{};
    std::uint64_t status{};
};
[[nodiscard]] StoredCounters read_stored_counters(fs::path const& store, BootKey const& boot);

} // namespace undercroft::collector
