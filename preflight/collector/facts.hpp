// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The machine that is to run the collector.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "preflight/judge.hpp"

namespace undercroft::preflight {

/// What the collector will ask of the machine.
struct CollectorPlan {
    std::string listen;         ///< UDP
    std::string metrics_listen; ///< TCP; empty: none
    std::filesystem::path store;
    std::string key_file; ///< empty: not known yet
    std::uint64_t receive_buffer_bytes = 32U << 20;
};

struct DiskFigures {
    std::uint64_t free_bytes = 0;
    double write_mb_s = 0;     ///< sequential, made durable at the end
    double sync_median_ms = 0; ///< of 4 KiB appended and made durable
    double sync_worst_ms = 0;
};

struct CollectorFacts {
    std::string listen_error, metrics_error; ///< empty: the address is free
    std::uint64_t granted_receive_buffer_bytes = 0;
    std::uint64_t rmem_max_bytes = 0;
    std::uint64_t open_files_limit = 0;
    std::optional<DiskFigures> disk; ///< nothing: the folder cannot be written
    std::string disk_error;
    std::string key_error; ///< empty: the key file can be read, or none was named
    bool key_readable_by_all = false;
    std::optional<bool> clock_synchronised; ///< nothing: the kernel does not say
    double clock_error_ms = 0;
    double seal_mb_s = 0; ///< ChaCha20-Poly1305 in datagrams of 1400 bytes, one core
    unsigned cores = 1;
    std::vector<Unread> unread;
};

/// Takes a few seconds: writes to the store's folder (at most 256 MiB, in a file that has no name) and seals.
[[nodiscard]] CollectorFacts read_collector_facts(CollectorPlan const& plan);
[[nodiscard]] std::vector<Finding> judge_collector(CollectorFacts const& facts, CollectorPlan const& plan);

/// For read_collector_facts. Throws std::system_error.
[[nodiscard]] DiskFigures measure_disk(std::filesystem::path const& store);

} // namespace undercroft::preflight
