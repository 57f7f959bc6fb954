// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <system_error>

#include "preflight/collector/facts.hpp"

namespace undercroft::preflight {
namespace {

CollectorPlan plan()
{
    return {.listen = "127.0.0.1:4710",
            .metrics_listen = "127.0.0.1:9470",
            .store = "/srv/store",
            .key_file = "/etc/key",
            .receive_buffer_bytes = 32U << 20};
}

CollectorFacts good_machine()
{
    CollectorFacts facts;
    facts.granted_receive_buffer_bytes = 32U << 20;
    facts.rmem_max_bytes = 32U << 20;
    facts.open_files_limit = 1048576;
    facts.disk = DiskFigures{
        .free_bytes = std::uint64_t{500} << 30, .write_mb_s = 900, .sync_median_ms = 0.4, .sync_worst_ms = 3};
    facts.clock_synchronised = true;
    facts.clock_error_ms = 2;
    facts.seal_mb_s = 1500;
    facts.cores = 8;
    return facts;
}

/// The one finding that is not ok.
Finding only_finding(CollectorFacts const& facts)
{
    std::vector<Finding> findings = judge_collector(facts, plan());
    std::erase_if(findings, [](Finding const& finding) { return finding.level == Level::ok; });
    EXPECT_EQ(findings.size(), 1U);
    return findings.empty() ? Finding{} : findings.front();
}

TEST(CollectorPreflight, AGoodMachine)
{
    auto const findings = judge_collector(good_machine(), plan());
    EXPECT_TRUE(std::ranges::all_of(findings, [](Finding const& finding) { return finding.level == Level::ok; }));
    EXPECT_EQ(exit_code(findings, {}), 0);
    EXPECT_EQ(exit_code(findings, {{"x", "y"}}), 2);
}

TEST(CollectorPreflight, AddressInUse)
{
    CollectorFacts facts = good_machine();
    facts.listen_error = "Address already in use";
    Finding const finding = only_finding(facts);
    EXPECT_EQ(finding.level, Level::problem);
    EXPECT_NE(finding.what.find("127.0.0.1:4710 cannot be used: Address already in use"), std::string::npos);
    EXPECT_EQ(exit_code({finding}, {}), 1);
}

TEST(CollectorPreflight, SmallBufferNamesTheSysctl)
{
    CollectorFacts facts = good_machine();
    facts.granted_receive_buffer_bytes = 212992;
    facts.rmem_max_bytes = 212992;
    Finding const finding = only_finding(facts);
    EXPECT_EQ(finding.level, Level::note);
    EXPECT_NE(finding.remedy.find("sysctl -w net.core.rmem_max=33554432"), std::string::npos);
}

TEST(CollectorPreflight, Disks)
{
    CollectorFacts facts = good_machine();
    facts.disk->free_bytes = 1000;
    EXPECT_EQ(only_finding(facts).level, Level::problem);
    facts.disk->free_bytes = std::uint64_t{5} << 30;
    EXPECT_EQ(only_finding(facts).level, Level::note);
    facts = good_machine();
    facts.disk->sync_median_ms = 35;
    EXPECT_NE(only_finding(facts).remedy.find("buffer_kib"), std::string::npos);
    facts = good_machine();
    facts.disk.reset();
    facts.disk_error = "cannot write to /srv: Permission denied";
    EXPECT_EQ(only_finding(facts).level, Level::problem);
}

TEST(CollectorPreflight, KeysAndClock)
{
    CollectorFacts facts = good_machine();
    facts.key_readable_by_all = true;
    EXPECT_EQ(only_finding(facts).remedy, "chmod o-r /etc/key");
    facts = good_machine();
    facts.key_error = "No such file or directory";
    EXPECT_EQ(only_finding(facts).level, Level::problem);
    facts = good_machine();
    facts.clock_synchronised = false;
    EXPECT_EQ(only_finding(facts).what, "clock: not synchronised");
}

TEST(CollectorPreflight, MeasuresADiskAndLeavesNothing)
{
    std::filesystem::path const folder = std::filesystem::path{testing::TempDir()} / "undercroft-preflight-disk";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    DiskFigures const figures = measure_disk(folder / "not" / "there" / "yet");
    EXPECT_GT(figures.free_bytes, 0U);
    EXPECT_GT(figures.write_mb_s, 0);
    EXPECT_GT(figures.sync_median_ms, 0);
    EXPECT_LE(figures.sync_median_ms, figures.sync_worst_ms);
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::filesystem::remove_all(folder);
    EXPECT_THROW(static_cast<void>(measure_disk("/proc/1/none")), std::system_error);
}

} // namespace
} // namespace undercroft::preflight
