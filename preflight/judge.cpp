// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/judge.hpp"

#include <algorithm>

#include "preflight/judge_parts.hpp"

namespace undercroft::preflight {
namespace {

void judge_firmware(Facts const& facts, std::vector<Finding>& findings)
{
    if (!facts.uefi) {
        findings.push_back({Level::note, "firmware: BIOS (or UEFI started this system as a BIOS would)",
                            "undercroft.efi needs UEFI; here GRUB starts undercroft.mb2",
                            "use the BIOS route (README), or switch the firmware to UEFI"});
        return;
    }
    if (facts.secure_boot == true)
        findings.push_back({Level::problem, "firmware: UEFI with Secure Boot on",
                            "undercroft.efi is not signed: the firmware refuses to start it",
                            "switch Secure Boot off in the setup, or sign the file with a key of your own"});
    else
        findings.push_back(
            {Level::ok, facts.secure_boot == false ? "firmware: UEFI, Secure Boot off" : "firmware: UEFI", {}, {}});
}

} // namespace

std::vector<Finding> judge(Facts const& facts, Plan const& plan)
{
    std::vector<Finding> findings;
    judge_virtualisation(facts, findings);
    judge_processor(facts, plan, findings);
    judge_firmware(facts, findings);
    judge_disks(facts, findings);
    judge_network(facts, findings);
    judge_iommu(facts, findings);
    return findings;
}

int exit_code(std::vector<Finding> const& findings, std::vector<Unread> const& unread)
{
    bool const problem =
        std::ranges::any_of(findings, [](Finding const& finding) { return finding.level == Level::problem; });
    return problem ? 1 : unread.empty() ? 0 : 2;
}

int exit_code(Facts const& facts, std::vector<Finding> const& findings)
{
    return exit_code(findings, facts.unread);
}

} // namespace undercroft::preflight
