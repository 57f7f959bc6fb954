// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/tests/fake_machine.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <cstring>
#include <fstream>
#include <stdexcept>

namespace undercroft::preflight {

namespace fs = std::filesystem;

FakeMachine::FakeMachine()
{
    std::string name = (fs::temp_directory_path() / "preflight.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
        throw std::runtime_error{"mkdtemp"};
    root_ = name;
    for (char const* folder : {"sys/bus/pci/devices", "sys/block", "sys/class/net", "sys/class/iommu"})
        fs::create_directories(root_ / folder);
    file("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
}

FakeMachine::~FakeMachine()
{
    std::error_code ignored;
    fs::remove_all(root_, ignored);
}

void FakeMachine::amd()
{
    cpuid_[0] = {0x10, 0x6874'7541, 0x444D'4163, 0x6974'6E65}; // Auth cAMD enti
    cpuid_[1] = {0x0087'0F10, 0, 0x7ED8'320B, 0x178B'FBFF};    // no hypervisor
    cpuid_[0x8000'0000] = {0x8000'0020, 0, 0, 0};
    cpuid_[0x8000'0001] = {0x0087'0F10, 0, 0x75C2'37FF, 0x2FD3'FBFF};           // SVM, 1 GiB pages
    cpuid_[0x8000'0002] = {0x2044'4D41, 0x657A'7952, 0x2037'206E, 0x3030'3733}; // "AMD Ryzen 7 3700"
    cpuid_[0x8000'0003] = {0x2D38'2058, 0x65726F43, 0x6F72'5020, 0x7373'6563};  // "X 8-Core Process"
    cpuid_[0x8000'0004] = {0x2020'726F, 0x2020'2020, 0x2020'2020, 0x0020'2020};
    cpuid_[0x8000'0007] = {0, 0, 0, 0x6799}; // constant TSC
    cpuid_[0x8000'0008] = {0x3030, 0, 0, 0}; // 48 bits
    cpuid_[0x8000'000A] = {1, 0x8000, 0, 0x0013'BCFF};
    msr(0xC001'0114, 0x8); // VM_CR: locked, not disabled
}

void FakeMachine::intel()
{
    cpuid_[0] = {0x16, 0x756E'6547, 0x6C65'746E, 0x4965'6E69}; // Genu ntel ineI
    cpuid_[1] = {0x0009'06ED, 0, 0x7FFA'FBFF, 0xBFEB'FBFF};    // VMX
    cpuid_[0x8000'0000] = {0x8000'0008, 0, 0, 0};
    cpuid_[0x8000'0001] = {0, 0, 0x121, 0x2C10'0800}; // 1 GiB pages
    cpuid_[0x8000'0007] = {0, 0, 0, 0x100};
    cpuid_[0x8000'0008] = {0x3027, 0, 0, 0}; // 39 bits
    msr(0x3A, 0x5);                          // locked with VMX on
    msr(0x480, 0x00DA'0400'0000'0004);
    msr(0x485, 0x7004'C1E7);
    msr(0x486, 0x8000'0021);
    msr(0x487, 0xFFFF'FFFF);
    msr(0x488, 0x2000);
    msr(0x489, 0x0037'27FF);
    msr(0x48B, 0x0037'7CFF'0000'0000);
    msr(0x48C, 0x0000'0F01'0673'4141);
    msr(0x48D, 0x0000'00FF'0000'0016);
    msr(0x48E, 0xFFF9'FFFE'0400'6172);
    msr(0x48F, 0x01FF'FFFF'0003'6DFB);
    msr(0x490, 0x0003'FFFF'0000'11FB);
}

void FakeMachine::guest_of(std::string_view hypervisor)
{
    cpuid_[1].ecx |= 1U << 31;
    std::uint32_t words[3] = {};
    std::memcpy(words, hypervisor.data(), std::min<std::size_t>(hypervisor.size(), sizeof(words)));
    cpuid_[0x4000'0000] = {0x4000'0001, words[0], words[1], words[2]};
}

void FakeMachine::file(std::string const& path, std::string_view text)
{
    fs::create_directories((root_ / path).parent_path());
    std::ofstream stream{root_ / path, std::ios::binary};
    stream.write(text.data(), static_cast<std::streamsize>(text.size()));
}

void FakeMachine::uefi(bool secure_boot)
{
    std::string const value = {6, 0, 0, 0, static_cast<char>(secure_boot ? 1 : 0)};
    file("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", value);
}

void FakeMachine::memory(std::uint64_t mib, unsigned cpus)
{
    file("proc/meminfo", fmt::format("MemTotal:       {} kB\nMemFree:         1024 kB\n", mib << 10));
    file("sys/devices/system/cpu/present", cpus == 1 ? "0\n" : fmt::format("0-{}\n", cpus - 1));
    file("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme de pse tsc msr\n");
}

void FakeMachine::device(std::string const& address, unsigned vendor, unsigned device, unsigned class_code,
                         std::string_view name)
{
    std::string const place = "sys/devices/pci0000:00/" + address;
    file(place + "/vendor", fmt::format("0x{:04x}\n", vendor));
    file(place + "/device", fmt::format("0x{:04x}\n", device));
    file(place + "/class", fmt::format("0x{:06x}\n", class_code));
    fs::create_directory_symlink("../../../devices/pci0000:00/" + address, root_ / "sys/bus/pci/devices" / address);
    if (!name.empty()) {
        fs::create_directories(root_ / place / "net" / name);
        interface(std::string{name});
    }
}

void FakeMachine::virtio_interface(std::string const& address, std::string const& name)
{
    fs::create_directories(root_ / "sys/devices/pci0000:00" / address / "virtio0/net" / name);
    interface(name);
}

void FakeMachine::disk(std::string const& controller, std::string const& name)
{
    std::string const place = "devices/pci0000:00/" + controller + "/port/host0/block/" + name;
    fs::create_directories(root_ / "sys" / place);
    fs::create_directory_symlink("../" + place, root_ / "sys/block" / name);
}

void FakeMachine::interface(std::string const& name)
{
    fs::create_directories(root_ / "sys/class/net" / name / "device");
}

void FakeMachine::default_route(std::string const& name)
{
    file("proc/net/route", fmt::format("Iface\tDestination\tGateway\tFlags\n{}\t0000A8C0\t00000000\t0001\n"
                                       "{}\t00000000\t0100A8C0\t0003\n",
                                       name, name));
}

Facts FakeMachine::facts() const
{
    return read_facts({root_,
                       [this](std::uint32_t leaf, std::uint32_t) {
                           auto const found = cpuid_.find(leaf);
                           return found == cpuid_.end() ? core::CpuidResult{} : found->second;
                       },
                       [this](std::uint32_t number) -> MsrValue {
                           if (failure_ != MsrFailure::refused)
                               return std::unexpected(failure_);
                           auto const found = msrs_.find(number);
                           if (found == msrs_.end())
                               return std::unexpected(MsrFailure::refused);
                           return found->second;
                       }});
}

} // namespace undercroft::preflight
