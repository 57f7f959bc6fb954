// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "hypervisor/backend/svm/capabilities.hpp"
#include "hypervisor/backend/svm/vmcb.hpp"
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/region_size.hpp"
#include "preflight/judge_parts.hpp"

namespace undercroft::preflight {
namespace {

constexpr char const* setup_advice = "switch it on in the firmware's setup (\"SVM Mode\", \"Intel Virtualization "
                                     "Technology\"), then switch the power off "
                                     "once; a sensor that already runs beneath this system shows the same";

void name_missing(backend::MissingList const& missing, std::vector<Finding>& findings)
{
    for (backend::MissingFeature const& feature : missing.all())
        findings.push_back({feature.required ? Level::problem : Level::note,
                            fmt::format("this processor has no {}", feature.name), std::string{feature.loss},
                            feature.required ? "another processor" : ""});
}

void judge_amd(Processor const& cpu, std::vector<Finding>& findings)
{
    name_missing(svm::missing_features(cpu.svm_features), findings);
    // Of the architecture, not of this processor: ucctl memory status names them no_execute_only, no_page_log,
    // no_timer.
    findings.push_back(
        {Level::note,
         "memory monitor: AMD has no execute-only pages, no page-modification log, no timer "
         "for hypervisors",
         "pages cannot be watched for reads while they are executed; written pages are found by scanning "
         "or by faults; what is due waits for the system's own interrupts and idle times",
         {}});
    if (cpu.vm_cr && (*cpu.vm_cr & svm::vm_cr_svmdis) != 0)
        findings.push_back({Level::problem, "AMD SVM is switched off by the firmware (VM_CR.SVMDIS)",
                            "the sensor cannot start", setup_advice});
    else if (cpu.vm_cr)
        findings.push_back({Level::ok, "virtualisation: AMD SVM, switched on", {}, {}});
    else
        findings.push_back({Level::note,
                            "virtualisation: AMD SVM, perhaps switched off by the firmware",
                            "the MSR that tells (VM_CR) could not be read",
                            {}});
}

void judge_intel(Processor const& cpu, std::vector<Finding>& findings)
{
    if (cpu.vmx)
        name_missing(vmx::missing_features(*cpu.vmx), findings);
    if (!cpu.feature_control) {
        findings.push_back({Level::note,
                            "virtualisation: Intel VT-x, perhaps switched off by the firmware",
                            "the MSRs that tell (IA32_FEATURE_CONTROL, IA32_VMX_*) could not be read",
                            {}});
        return;
    }
    bool const locked = (*cpu.feature_control & vmx::feature_lock) != 0;
    if (locked && (*cpu.feature_control & vmx::feature_vmx) == 0)
        findings.push_back({Level::problem,
                            "Intel VT-x is switched off and locked by the firmware (IA32_FEATURE_CONTROL)",
                            "the sensor cannot start", setup_advice});
    else
        findings.push_back({Level::ok,
                            locked ? "virtualisation: Intel VT-x, switched on"
                                   : "virtualisation: Intel VT-x, left open by the firmware; the sensor switches it on",
                            {},
                            {}});
}

void judge_addresses(Processor const& cpu, std::vector<Finding>& findings)
{
    if (cpu.address_bits > 48)
        findings.push_back({Level::note,
                            fmt::format("{} physical address bits", cpu.address_bits),
                            "the sensor maps 48: memory and devices above 256 TiB are out of the system's reach",
                            {}});
    if (cpu.memory_keys)
        findings.push_back(
            {Level::note, "memory encryption by address bits (SME, TME-MK) is switched on by the firmware",
             "the sensor closes the further addresses that each memory cell has by them: the system has no keys to "
             "choose",
             "switch it off in the setup; transparent encryption (TSME, TME without keys) does no harm"});
    if (cpu.offers_la57)
        findings.push_back(
            {Level::note,
             cpu.runs_la57 ? "5-level paging: in use by this system"
                           : "5-level paging: offered, not used by this system",
             "the system may use it; a firmware that has it switched on while it starts the sensor makes it refuse",
             "if the start says so: switch it off in the setup"});
}

void judge_time(Facts const& facts, std::vector<Finding>& findings)
{
    if (facts.processor.invariant_tsc &&
        (facts.clocksource.empty() || facts.clocksource == "tsc" || !facts.processor.hypervisor.empty())) {
        findings.push_back({Level::ok, "time-stamp counter: constant, goes on in sleep states", {}, {}});
        return;
    }
    if (facts.processor.invariant_tsc)
        findings.push_back(
            {Level::note, fmt::format("time-stamp counter: constant, but the system uses '{}'", facts.clocksource),
             "the system may have found the counters of the CPUs to differ; records would be stamped so too",
             "look for 'TSC' in the kernel's log; set sntp in undercroft.conf"});
    else
        findings.push_back({Level::note, "time-stamp counter: its rate may change, or it may stop in sleep states",
                            "the times of records would be wrong by as much; their order is not touched",
                            "set sntp in undercroft.conf; keep the processor's frequency fixed"});
}

void judge_room(Facts const& facts, Plan const& plan, std::vector<Finding>& findings)
{
    Processor const& cpu = facts.processor;
    paging::TableCapabilities host;
    host.pages_1g = cpu.pages_1g;
    host.address_bits = static_cast<std::uint8_t>(cpu.address_bits);
    paging::TableCapabilities const guest =
        cpu.maker == Maker::intel ? vmx::table_capabilities(cpu.vmx.value_or(vmx::Capabilities{}), cpu.address_bits)
                                  : host;
    boot::RamExtent const ram{facts.memory_kib << 10, facts.memory_kib << 10};
    std::uint64_t const monitor =
        core::monitor_bytes(core::monitored_pages(guest, host, ram), ram, plan.memory_buffer_kib);
    std::uint64_t const mib =
        core::region_bytes(core::table_pages(guest, host), facts.cpus, plan.buffer_kib, monitor) >> 20;
    if (facts.cpus > boot::max_cpus)
        findings.push_back({Level::problem, fmt::format("{} CPUs", facts.cpus),
                            fmt::format("the sensor handles {}", boot::max_cpus),
                            "switch simultaneous multithreading or cores off in the setup"});
    else
        findings.push_back({Level::ok, fmt::format("CPUs: {}", facts.cpus), {}, {}});
    std::uint64_t const memory_mib = facts.memory_kib >> 10;
    if (memory_mib < 2 * mib)
        findings.push_back(
            {Level::problem, fmt::format("memory: {} MiB, the sensor takes {} MiB of it", memory_mib, mib),
             "too little would be left for the system", "a smaller buffer_kib (preflight --buffer-kib)"});
    else
        findings.push_back(
            {Level::ok, fmt::format("memory: {} MiB, the sensor takes {} MiB of it", memory_mib, mib), {}, {}});
}

} // namespace

void judge_virtualisation(Facts const& facts, std::vector<Finding>& findings)
{
    Processor const& cpu = facts.processor;
    if (cpu.maker == Maker::other)
        findings.push_back({Level::problem, fmt::format("processor: {}", cpu.model.empty() ? "unknown" : cpu.model),
                            "the sensor knows AMD's SVM and Intel's VT-x", "another machine"});
    else
        findings.push_back({Level::ok, fmt::format("processor: {}", cpu.model), {}, {}});
    if (!cpu.hypervisor.empty())
        findings.push_back(
            {Level::note, fmt::format("this system is a virtual machine already ({})", cpu.hypervisor),
             "the sensor would be a hypervisor on a hypervisor: slow, and only as far as that one emulates "
             "virtualisation. On the bare machine the findings differ",
             "for a lab: switch nested virtualisation on below"});
    if (cpu.maker == Maker::other)
        return;
    if (!cpu.virtualisation) {
        findings.push_back({Level::problem, "no virtualisation: CPUID offers neither SVM nor VT-x",
                            "the sensor cannot start",
                            cpu.hypervisor.empty() ? "another processor, or see the firmware's setup"
                                                   : "switch nested virtualisation on below"});
        return;
    }
    if (cpu.maker == Maker::amd)
        judge_amd(cpu, findings);
    else
        judge_intel(cpu, findings);
}

void judge_processor(Facts const& facts, Plan const& plan, std::vector<Finding>& findings)
{
    judge_addresses(facts.processor, findings);
    judge_time(facts, findings);
    judge_room(facts, plan, findings);
}

} // namespace undercroft::preflight
