// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Whole machines, from their files and registers to the exit code.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "preflight/print.hpp"
#include "preflight/tests/fake_machine.hpp"

namespace undercroft::preflight {
namespace {

constexpr unsigned ahci = 0x010601, ide = 0x01018A, nvme = 0x010802, raid = 0x010400, ethernet = 0x020000,
                   usb = 0x0C0330;

struct Verdict {
    Facts facts;
    std::vector<Finding> findings;
    int code;

    explicit Verdict(FakeMachine const& machine, Plan const& plan = {})
        : facts{machine.facts()}, findings{judge(facts, plan)}, code{exit_code(facts, findings)}
    {
    }
    /// The level of the only finding that has these words.
    [[nodiscard]] std::string level_of(std::string_view words) const
    {
        std::string found = "none";
        for (Finding const& finding : findings)
            if ((finding.what + " | " + finding.why).find(words) != std::string::npos) {
                if (found != "none")
                    return "several";
                found = finding.level == Level::ok ? "ok" : finding.level == Level::note ? "note" : "problem";
            }
        return found;
    }
    [[nodiscard]] std::vector<std::string> problems() const
    {
        std::vector<std::string> texts;
        for (Finding const& finding : findings)
            if (finding.level == Level::problem)
                texts.push_back(finding.what);
        return texts;
    }
};

void make_amd_desktop(FakeMachine& machine)
{
    machine.amd();
    machine.uefi(false);
    machine.memory(32000, 16);
    machine.file("sys/firmware/acpi/tables/IVRS", "");
    machine.device("0000:01:00.1", 0x1022, 0x43EB, ahci);
    machine.disk("0000:01:00.1", "sda");
    machine.device("0000:03:00.0", 0x8086, 0x10D3, ethernet, "enp3s0");
    machine.device("0000:05:00.0", 0x10EC, 0x8168, ethernet, "enp5s0");
    machine.default_route("enp5s0");
}

TEST(Machines, AmdDesktopIsFine)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 0) << as_text(verdict.facts, verdict.findings);
    EXPECT_EQ(verdict.level_of("processor: AMD Ryzen 7 3700X 8-Core Processor"), "ok");
    EXPECT_EQ(verdict.level_of("AMD SVM, switched on"), "ok");
    EXPECT_EQ(verdict.level_of("no execute-only pages, no page-modification log, no timer"), "note");
    EXPECT_EQ(verdict.level_of("UEFI, Secure Boot off"), "ok");
    EXPECT_EQ(verdict.level_of("AHCI controller 01:00.1: watched (sda)"), "ok");
    EXPECT_EQ(verdict.level_of("03:00.0 82574L (enp3s0); the system would lose enp3s0 and keep enp5s0"), "ok");
    EXPECT_EQ(verdict.level_of("constant, goes on in sleep states"), "ok");
    EXPECT_EQ(verdict.level_of("IOMMU: there is one, this system does not use it"), "note");
    // 24 MiB + 16 CPUs of 256 KiB + 64 MiB of buffer + 2,050 pages of tables: 100.0 MiB. Memory monitor: 16,802 pages
    // of tables (65.6), a byte and four bits for each of 8,192,000 pages (11.7), 16,000 regions of 16 bytes (0.2), 8 of
    // buffer, 2 of objects, 512 pages of reserve (2.0): 89.6 MiB. To the next 2 MiB.
    EXPECT_EQ(verdict.level_of("memory: 32000 MiB, the sensor takes 190 MiB of it"), "ok");
    EXPECT_TRUE(verdict.facts.unread.empty());
}

TEST(Machines, IntelLaptopWithNvmeOnlyAndVirtualisationLockedOff)
{
    FakeMachine machine;
    machine.intel();
    machine.msr(0x3A, 1);
    machine.uefi(true);
    machine.memory(16000, 8);
    machine.device("0000:02:00.0", 0x144D, 0xA808, nvme);
    machine.disk("0000:02:00.0", "nvme0n1");
    machine.device("0000:00:1f.6", 0x8086, 0x15BE, ethernet, "enp0s31f6");
    machine.file("sys/class/iommu/dmar0/name", "");
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 1);
    EXPECT_EQ(verdict.level_of("switched off and locked by the firmware"), "problem");
    EXPECT_EQ(verdict.level_of("Secure Boot on"), "problem");
    EXPECT_EQ(verdict.level_of("no AHCI or IDE controller"), "problem");
    EXPECT_EQ(verdict.level_of("no network card that the sensor has a driver for"), "problem");
    EXPECT_EQ(verdict.level_of("in use by this system (dmar0)"), "problem");
    EXPECT_EQ(verdict.level_of("NVMe disk 02:00.0: not watched (nvme0n1)"), "note");
    EXPECT_EQ(verdict.problems().size(), 5U);
}

TEST(Machines, ServerWithRaidModeAndTwoCardsThatFit)
{
    FakeMachine machine;
    machine.intel();
    machine.uefi(false);
    machine.memory(64000, 64);
    machine.device("0000:00:1f.2", 0x8086, 0x2822, raid);
    machine.disk("0000:00:1f.2", "sdb");
    machine.device("0000:00:11.5", 0x8086, 0xA1D2, ahci);
    machine.device("0000:00:14.0", 0x8086, 0xA1AF, usb);
    machine.disk("0000:00:14.0", "sdc");
    machine.device("0000:04:00.0", 0x8086, 0x10D3, ethernet, "eno1");
    machine.device("0000:05:00.0", 0x8086, 0x10D3, ethernet, "eno2");
    machine.default_route("eno1");
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 0) << as_text(verdict.facts, verdict.findings);
    EXPECT_EQ(verdict.level_of("Intel VT-x, switched on"), "ok");
    EXPECT_EQ(verdict.level_of("RAID controller 00:1f.2: not watched (sdb)"), "note");
    EXPECT_EQ(verdict.level_of("USB controller 00:14.0: not watched (sdc)"), "note");
    EXPECT_EQ(verdict.level_of("no disk on a watched controller"), "note");
    EXPECT_EQ(verdict.level_of("04:00.0 82574L (eno1), which carries the default route"), "note");
    EXPECT_EQ(verdict.level_of("05:00.0 82574L (eno2); the system would lose eno2 and keep eno1"), "ok");
    EXPECT_EQ(verdict.level_of("2 network cards fit the sensor"), "note");
    EXPECT_EQ(verdict.level_of("this processor has no"), "none");
}

TEST(Machines, VirtualMachineWithVirtio)
{
    FakeMachine machine;
    machine.intel();
    machine.guest_of("KVMKVMKVM");
    machine.msr(0x48D, 0x0000'00BF'0000'0016); // no preemption timer
    machine.msr(0x48C, 0x0000'0000'0611'4141); // no VPID, no 1 GiB pages, no accessed and dirty flags
    machine.uefi(false);
    machine.memory(2048, 2);
    machine.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock\n");
    machine.device("0000:00:1f.2", 0x8086, 0x2922, ahci);
    machine.disk("0000:00:1f.2", "sda");
    machine.device("0000:01:00.0", 0x1AF4, 0x1041, ethernet);
    machine.virtio_interface("0000:01:00.0", "enp1s0");
    std::string const legacy(256, '\0'); // no capabilities: not virtio 1.0
    machine.device("0000:02:00.0", 0x1AF4, 0x1000, ethernet);
    machine.file("sys/devices/pci0000:00/0000:02:00.0/config", legacy);
    machine.device("0000:00:05.0", 0x1AF4, 0x1001, 0x010000);
    machine.disk("0000:00:05.0", "vda");
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 0) << as_text(verdict.facts, verdict.findings);
    EXPECT_EQ(verdict.level_of("virtual machine already (KVMKVMKVM)"), "note");
    EXPECT_EQ(verdict.level_of("no the preemption timer"), "note");
    EXPECT_EQ(verdict.level_of("no VPID"), "note");
    EXPECT_EQ(verdict.level_of("no 1 GiB EPT pages"), "note");
    EXPECT_EQ(verdict.level_of("01:00.0 virtio-net (enp1s0), the only one"), "note");
    EXPECT_EQ(verdict.level_of("02:00.0 (no interface): virtio's legacy interface only"), "note");
    EXPECT_EQ(verdict.level_of("storage controller of another kind 00:05.0: not watched (vda)"), "note");
}

TEST(Machines, OldBiosMachineWithIde)
{
    FakeMachine machine;
    machine.amd();
    machine.cpuid(0x8000'000A).edx = 0x1; // a first-generation Opteron with nested paging: no FlushByASID
    machine.cpuid(0x8000'0001).edx &= ~(1U << 26);
    machine.cpuid(0x8000'0007).edx = 0;
    machine.memory(4000, 2);
    machine.device("0000:00:01.1", 0x1022, 0x7441, ide);
    machine.disk("0000:00:01.1", "sda");
    machine.device("0000:02:00.0", 0x8086, 0x100E, ethernet, "eth0");
    machine.interface("eth1");
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 0) << as_text(verdict.facts, verdict.findings);
    EXPECT_EQ(verdict.level_of("firmware: BIOS"), "note");
    EXPECT_EQ(verdict.level_of("IDE controller 00:01.1: watched (sda)"), "ok");
    EXPECT_EQ(verdict.level_of("no FlushByASID"), "note");
    EXPECT_EQ(verdict.level_of("its rate may change"), "note");
    EXPECT_EQ(verdict.level_of("82540EM (eth0); the system would lose eth0 and keep eth1"), "ok");
    EXPECT_EQ(verdict.level_of("IOMMU: none"), "note");
}

TEST(Machines, WithoutRoot)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.no_msrs(MsrFailure::no_permission);
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 2);
    EXPECT_EQ(verdict.level_of("perhaps switched off by the firmware"), "note");
    ASSERT_EQ(verdict.facts.unread.size(), 1U);
    EXPECT_EQ(verdict.facts.unread[0].how, "run this command as root");
    std::string const text = as_text(verdict.facts, verdict.findings);
    EXPECT_NE(text.find("unread   the processor's MSRs"), std::string::npos) << text;

    FakeMachine intel;
    intel.intel();
    intel.no_msrs(MsrFailure::no_file);
    Facts const facts = intel.facts();
    EXPECT_FALSE(facts.processor.vmx);
    ASSERT_FALSE(facts.unread.empty());
    EXPECT_NE(facts.unread[0].how.find("modprobe msr"), std::string::npos);
}

TEST(Machines, AProblemWeighsMoreThanWhatWasNotRead)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.no_msrs(MsrFailure::no_permission);
    machine.uefi(true);
    EXPECT_EQ(Verdict{machine}.code, 1);
}

TEST(Machines, AmdSwitchedOffByTheFirmware)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.msr(0xC001'0114, 0x18);
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 1);
    EXPECT_EQ(verdict.problems(), std::vector<std::string>{"AMD SVM is switched off by the firmware (VM_CR.SVMDIS)"});
}

TEST(Machines, WhatTheSensorCannotDoWithout)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.cpuid(0x8000'000A).edx &= ~1U;
    EXPECT_EQ(Verdict{machine}.problems(), std::vector<std::string>{"this processor has no nested paging"});

    machine.cpuid(0x8000'000A).edx |= 1;
    machine.memory(32000, 257);
    EXPECT_EQ(Verdict{machine}.problems(), std::vector<std::string>{"257 CPUs"});
    machine.memory(32000, 256);
    EXPECT_EQ(Verdict{machine}.code, 0);
    EXPECT_EQ(Verdict(machine, Plan{.buffer_kib = 4194304}).code, 0);
    machine.memory(8000, 256);
    EXPECT_EQ(Verdict(machine, Plan{.buffer_kib = 4194304}).level_of("of it"), "problem");

    machine.memory(32000, 4);
    machine.cpuid(0) = {0xD, 0x7463'6547, 0, 0};
    EXPECT_EQ(Verdict{machine}.level_of("processor: "), "problem");
}

TEST(Machines, NotesOfNewProcessors)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.cpuid(0x8000'0008).eax = 0x3934; // 52 bits
    machine.cpuid(7).ecx = 1U << 16;
    machine.cpuid(0x8000'001F).eax = 1;
    machine.msr(0xC001'0010, 1U << 23);
    machine.file("proc/cpuinfo", "flags\t\t: fpu la57 rdpid\n");
    machine.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    Verdict const verdict{machine};
    EXPECT_EQ(verdict.code, 0);
    EXPECT_EQ(verdict.level_of("52 physical address bits"), "note");
    EXPECT_EQ(verdict.level_of("memory encryption by address bits"), "note");
    EXPECT_EQ(verdict.level_of("5-level paging: in use by this system"), "note");
    EXPECT_EQ(verdict.level_of("the system uses 'hpet'"), "note");
}

TEST(Print, JsonSaysTheSame)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.uefi(true);
    Verdict const verdict{machine};
    auto const json = nlohmann::json::parse(as_json(verdict.facts, verdict.findings));
    EXPECT_EQ(json.at("result"), "cannot_start");
    ASSERT_EQ(json.at("findings").size(), verdict.findings.size());
    EXPECT_EQ(std::ranges::count_if(json.at("findings"), [](auto const& f) { return f.at("level") == "problem"; }), 1);
    EXPECT_TRUE(json.at("unread").empty());
}

TEST(Print, ProblemsComeFirstAndLinesStayShort)
{
    FakeMachine machine;
    make_amd_desktop(machine);
    machine.uefi(true);
    Verdict const verdict{machine};
    std::string const text = as_text(verdict.facts, verdict.findings);
    EXPECT_EQ(text.find(" \n"), std::string::npos) << text;
    EXPECT_TRUE(text.starts_with("problem  firmware: UEFI with Secure Boot on\n")) << text;
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin))
        EXPECT_LE(end - begin, 120U) << text.substr(begin, end - begin);
}

} // namespace
} // namespace undercroft::preflight
