// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/read_processor.hpp"

#include <initializer_list>
#include <string_view>

#include "hypervisor/backend/svm/vmcb.hpp"

namespace undercroft::preflight {
namespace {

/// The letters in these registers, with single blanks.
std::string text_of(std::initializer_list<std::uint32_t> registers)
{
    std::string text;
    for (std::uint32_t const value : registers)
        for (unsigned shift = 0; shift < 32; shift += 8) {
            auto const letter = static_cast<char>(value >> shift);
            bool const blank = letter == ' ' && (text.empty() || text.back() == ' ');
            if (letter >= ' ' && letter <= '~' && !blank)
                text += letter;
        }
    while (text.ends_with(' '))
        text.pop_back();
    return text;
}

Maker maker_of(Source const& source)
{
    core::CpuidResult const leaf = source.cpuid(0, 0);
    std::string const name = text_of({leaf.ebx, leaf.edx, leaf.ecx});
    return name == "AuthenticAMD" || name == "HygonGenuine" ? Maker::amd
           : name == "GenuineIntel"                         ? Maker::intel
                                                            : Maker::other;
}

std::string model_of(Source const& source)
{
    if (source.cpuid(0x8000'0000, 0).eax < 0x8000'0004)
        return {};
    auto const part = [&](std::uint32_t leaf) { return source.cpuid(leaf, 0); };
    core::CpuidResult const a = part(0x8000'0002), b = part(0x8000'0003), c = part(0x8000'0004);
    return text_of({a.eax, a.ebx, a.ecx, a.edx, b.eax, b.ebx, b.ecx, b.edx, c.eax, c.ebx, c.ecx, c.edx});
}

std::string hypervisor_of(Source const& source)
{
    constexpr std::uint32_t present = 1U << 31; // CPUID 1 ECX: never set on bare machines
    if ((source.cpuid(1, 0).ecx & present) == 0)
        return {};
    core::CpuidResult const leaf = source.cpuid(0x4000'0000, 0);
    std::string const name = text_of({leaf.ebx, leaf.ecx, leaf.edx});
    return name.empty() ? "a hypervisor" : name;
}

std::string_view remedy(MsrFailure failure)
{
    switch (failure) {
    case MsrFailure::no_file:
        return "as root: modprobe msr; then run this command again as root";
    case MsrFailure::no_permission:
        return "run this command as root";
    case MsrFailure::refused:
        break;
    }
    return "what runs beneath this system hides them: ask it, or look from the bare machine";
}

/// One MSR; failures are told once.
std::optional<std::uint64_t> read(Source const& source, std::uint32_t number, Facts& facts)
{
    MsrValue const value = source.read_msr(number);
    if (value)
        return *value;
    Unread const failure{"the processor's MSRs: whether virtualisation is switched off, and VT-x's details",
                         std::string{remedy(value.error())}};
    if (facts.unread.empty() || facts.unread.back().what != failure.what)
        facts.unread.push_back(failure);
    return std::nullopt;
}

/// AMD APM volume 2, 7.10.1 (SYSCFG); Intel SDM volume 4, IA32_TME_ACTIVATE.
bool has_memory_keys(Source const& source, Maker maker)
{
    constexpr std::uint64_t encryption_mode = 1U << 23, key_bits = 0xFULL << 32;
    constexpr std::uint32_t syscfg = 0xC001'0010, tme_activate = 0x982;
    bool const amd = maker == Maker::amd;
    bool const offered =
        amd ? source.cpuid(0x8000'0000, 0).eax >= 0x8000'001F && (source.cpuid(0x8000'001F, 0).eax & 1) != 0
            : source.cpuid(0, 0).eax >= 7 && (source.cpuid(7, 0).ecx & 1U << 13) != 0;
    return offered &&
           (source.read_msr(amd ? syscfg : tme_activate).value_or(0) & (amd ? encryption_mode : key_bits)) != 0;
}

void read_amd(Source const& source, Facts& facts)
{
    Processor& cpu = facts.processor;
    if (source.cpuid(0x8000'0000, 0).eax < 0x8000'000A || (source.cpuid(0x8000'0001, 0).ecx & 1U << 2) == 0)
        return;
    cpu.virtualisation = true;
    cpu.svm_features = source.cpuid(0x8000'000A, 0).edx;
    cpu.vm_cr = read(source, svm::msr::vm_cr, facts);
}

void read_intel(Source const& source, Facts& facts)
{
    Processor& cpu = facts.processor;
    // Linux and others hide the flag in /proc/cpuinfo when the firmware has locked it off; CPUID does not.
    if ((source.cpuid(1, 0).ecx & 1U << 5) == 0)
        return;
    cpu.virtualisation = true;
    cpu.feature_control = read(source, vmx::msr::feature_control, facts);
    bool complete = true;
    vmx::Capabilities const offered = vmx::read_capabilities([&](std::uint32_t number) {
        std::optional<std::uint64_t> const value = read(source, number, facts);
        complete = complete && value.has_value();
        return value.value_or(0);
    });
    if (complete)
        cpu.vmx = offered;
}

} // namespace

void read_processor(Source const& source, Facts& facts)
{
    Processor& cpu = facts.processor;
    cpu.maker = maker_of(source);
    cpu.model = model_of(source);
    cpu.hypervisor = hypervisor_of(source);
    std::uint32_t const extended = source.cpuid(0x8000'0000, 0).eax;
    if (extended >= 0x8000'0001)
        cpu.pages_1g = (source.cpuid(0x8000'0001, 0).edx & 1U << 26) != 0;
    if (extended >= 0x8000'0007)
        cpu.invariant_tsc = (source.cpuid(0x8000'0007, 0).edx & 1U << 8) != 0;
    if (extended >= 0x8000'0008)
        cpu.address_bits = source.cpuid(0x8000'0008, 0).eax & 0xFF;
    if (source.cpuid(0, 0).eax >= 7)
        cpu.offers_la57 = (source.cpuid(7, 0).ecx & 1U << 16) != 0;
    cpu.memory_keys = cpu.maker != Maker::other && has_memory_keys(source, cpu.maker);
    if (cpu.maker == Maker::amd)
        read_amd(source, facts);
    else if (cpu.maker == Maker::intel)
        read_intel(source, facts);
}

} // namespace undercroft::preflight
