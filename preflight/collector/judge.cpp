// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "preflight/collector/facts.hpp"

namespace undercroft::preflight {
namespace {

constexpr std::uint64_t enough_open_files = 4096;
constexpr std::uint64_t gib = std::uint64_t{1} << 30;
constexpr double slow_sync_ms = 20;
/// Clocks of sensor and collector stand side by side in the store; more than this is seen in pictures.
constexpr double large_clock_error_ms = 1000;
constexpr double gigabit_mb_s = 125;

void judge_address(std::string const& what, std::string const& address, std::string const& error,
                   std::vector<Finding>& findings)
{
    if (error.empty())
        findings.push_back({Level::ok, fmt::format("{}: {} is free", what, address), {}, {}});
    else
        findings.push_back({Level::problem, fmt::format("{}: {} cannot be used: {}", what, address, error),
                            "the collector would not start",
                            "ss -ulpn and ss -tlpn show who has a port; ip addr shows this machine's addresses. If it "
                            "is a collector that runs already, all is well: stop it to repeat this check"});
}

void judge_buffer(CollectorFacts const& facts, CollectorPlan const& plan, std::vector<Finding>& findings)
{
    std::string const what = fmt::format("receive buffer: {} MiB of {} MiB", facts.granted_receive_buffer_bytes >> 20,
                                         plan.receive_buffer_bytes >> 20);
    if (facts.granted_receive_buffer_bytes >= plan.receive_buffer_bytes)
        return findings.push_back({Level::ok, what, {}, {}});
    findings.push_back(
        {Level::note, what,
         fmt::format("net.core.rmem_max is {}: bursts that are longer than the buffer are dropped by the "
                     "kernel, counted, and sent again by the sensor",
                     facts.rmem_max_bytes),
         fmt::format("sysctl -w net.core.rmem_max={} (and the same line without `sysctl -w` in "
                     "/etc/sysctl.d/undercroft.conf)",
                     plan.receive_buffer_bytes)});
}

void judge_disk(CollectorFacts const& facts, CollectorPlan const& plan, std::vector<Finding>& findings)
{
    std::string const store = plan.store.string();
    if (!facts.disk)
        return findings.push_back({Level::problem, fmt::format("store {}: {}", store, facts.disk_error),
                                   "nothing could be stored, so nothing would be acknowledged",
                                   "choose another folder, or give the collector's user the right to write there"});
    DiskFigures const& disk = *facts.disk;
    std::string const space = fmt::format("free space at {}: {:.1f} GiB", store,
                                          static_cast<double>(disk.free_bytes) / static_cast<double>(gib));
    if (disk.free_bytes < gib)
        findings.push_back({Level::problem, space, "a full disk stops the collector from acknowledging",
                            "make room, or choose another folder"});
    else if (disk.free_bytes < 20 * gib)
        findings.push_back({Level::note, space, "with captured content a busy machine writes this much in hours",
                            "plan the space, or set the store's retention"});
    else
        findings.push_back({Level::ok, space, {}, {}});
    std::string const writing = fmt::format("disk: {:.0f} MB/s written in sequence, {:.2f} ms until 4 KiB are durable "
                                            "(median; worst {:.1f} ms)",
                                            disk.write_mb_s, disk.sync_median_ms, disk.sync_worst_ms);
    if (disk.sync_median_ms > slow_sync_ms)
        findings.push_back({Level::note, writing,
                            "records are acknowledged after they are durable: sensors keep them that much longer",
                            "a disk that syncs faster, or larger buffers in the sensors (buffer_kib)"});
    else if (disk.write_mb_s < gigabit_mb_s)
        findings.push_back({Level::note, writing, "less than one sensor on a full 1 Gbit/s link can send",
                            "enough for headers (mode = header) and for quiet machines; else a faster disk"});
    else
        findings.push_back({Level::ok, writing, {}, {}});
}

void judge_key_file(CollectorFacts const& facts, CollectorPlan const& plan, std::vector<Finding>& findings)
{
    if (plan.key_file.empty())
        return;
    if (!facts.key_error.empty())
        findings.push_back({Level::problem, fmt::format("key file {}: {}", plan.key_file, facts.key_error),
                            "without a key no sensor can be understood",
                            "openssl rand -hex 32 makes a key; the user that runs the collector must be able to read "
                            "the file"});
    else if (facts.key_readable_by_all)
        findings.push_back({Level::note, fmt::format("key file {}: every user can read it", plan.key_file),
                            "who has the key can read and forge records", "chmod o-r " + plan.key_file});
    else
        findings.push_back({Level::ok, fmt::format("key file {}: readable", plan.key_file), {}, {}});
}

void judge_clock(CollectorFacts const& facts, std::vector<Finding>& findings)
{
    if (!facts.clock_synchronised)
        return;
    if (!*facts.clock_synchronised)
        findings.push_back({Level::note, "clock: not synchronised",
                            "the time of arrival of records would be this clock's",
                            "timedatectl set-ntp true, or install chrony"});
    else if (facts.clock_error_ms > large_clock_error_ms)
        findings.push_back({Level::note, fmt::format("clock: synchronised to {:.0f} ms only", facts.clock_error_ms), "",
                            "choose a nearer time server"});
    else
        findings.push_back(
            {Level::ok, fmt::format("clock: synchronised, error at most {:.1f} ms", facts.clock_error_ms), {}, {}});
}

void judge_processor(CollectorFacts const& facts, std::vector<Finding>& findings)
{
    std::string const what =
        fmt::format("processor: unseals {:.0f} MB/s with one of {} cores", facts.seal_mb_s, facts.cores);
    if (facts.seal_mb_s < gigabit_mb_s)
        findings.push_back({Level::note, what, "less than 1 Gbit/s", "a processor with AVX2, or fewer sensors"});
    else
        findings.push_back({Level::ok, what, {}, {}});
}

} // namespace

std::vector<Finding> judge_collector(CollectorFacts const& facts, CollectorPlan const& plan)
{
    std::vector<Finding> findings;
    judge_address("UDP for sensors", plan.listen, facts.listen_error, findings);
    if (!plan.metrics_listen.empty())
        judge_address("TCP for metrics", plan.metrics_listen, facts.metrics_error, findings);
    judge_buffer(facts, plan, findings);
    if (facts.open_files_limit < enough_open_files)
        findings.push_back({Level::note, fmt::format("open files: at most {}", facts.open_files_limit),
                            "each sensor and each file being written takes one",
                            "ulimit -Hn 65536, or LimitNOFILE=65536 in the unit"});
    else
        findings.push_back({Level::ok, fmt::format("open files: at most {}", facts.open_files_limit), {}, {}});
    judge_disk(facts, plan, findings);
    judge_key_file(facts, plan, findings);
    judge_clock(facts, findings);
    judge_processor(facts, findings);
    return findings;
}

} // namespace undercroft::preflight
