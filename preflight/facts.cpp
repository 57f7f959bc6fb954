// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "preflight/facts.hpp"

#include <charconv>
#include <fstream>
#include <sstream>

#include "preflight/read_devices.hpp"
#include "preflight/read_processor.hpp"

namespace undercroft::preflight {
namespace {

namespace fs = std::filesystem;

/// How many CPUs a list such as "0-3,8" names.
std::size_t count_of(std::string const& list)
{
    std::size_t count = 0;
    std::istringstream parts{list};
    std::string part;
    while (std::getline(parts, part, ',')) {
        std::size_t first = 0, last = 0;
        char const* const end = part.data() + part.size();
        auto const [rest, error] = std::from_chars(part.data(), end, first);
        if (error != std::errc{})
            continue;
        last = first;
        if (rest != end && *rest == '-')
            std::from_chars(rest + 1, end, last);
        count += last >= first ? last - first + 1 : 0;
    }
    return count;
}

bool running_with_la57(fs::path const& root)
{
    std::ifstream stream{root / "proc/cpuinfo"};
    std::string line;
    while (std::getline(stream, line))
        if (line.starts_with("flags"))
            return (line + ' ').find(" la57 ") != std::string::npos;
    return false;
}

void read_memory(fs::path const& root, Facts& facts)
{
    std::ifstream stream{root / "proc/meminfo"};
    std::string name;
    std::uint64_t value = 0;
    if (stream >> name >> value && name == "MemTotal:")
        facts.memory_kib = value;
}

/// UEFI 2.10, 3.3: one byte, which efivarfs puts behind four bytes of attributes.
void read_firmware(fs::path const& root, Facts& facts)
{
    std::error_code none;
    facts.uefi = fs::exists(root / "sys/firmware/efi", none);
    if (!facts.uefi)
        return;
    std::ifstream stream{root / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
                         std::ios::binary};
    char bytes[5];
    if (stream.read(bytes, sizeof(bytes)))
        facts.secure_boot = bytes[4] != 0;
    else if (fs::is_empty(root / "sys/firmware/efi/efivars", none) || none)
        facts.unread.push_back(
            {"whether Secure Boot is on", "as root: mount -t efivarfs none /sys/firmware/efi/efivars"});
    else
        facts.secure_boot = false; // firmware without it has no such variable
}

void read_iommu(fs::path const& root, Facts& facts)
{
    std::error_code none;
    facts.iommus = names_in(root / "sys/class/iommu");
    for (char const* table : {"DMAR", "IVRS"})
        facts.iommu_announced |= fs::exists(root / "sys/firmware/acpi/tables" / table, none);
}

} // namespace

Facts read_facts(Source const& source)
{
    Facts facts;
    read_processor(source, facts);
    facts.processor.runs_la57 = running_with_la57(source.root);
    facts.cpus = count_of(line_of(source.root / "sys/devices/system/cpu/present"));
    facts.clocksource = line_of(source.root / "sys/devices/system/clocksource/clocksource0/current_clocksource");
    read_memory(source.root, facts);
    read_firmware(source.root, facts);
    read_devices(source.root, facts);
    read_iommu(source.root, facts);
    return facts;
}

} // namespace undercroft::preflight
