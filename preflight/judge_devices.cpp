// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hypervisor/net/e1000.hpp"
#include "hypervisor/platform/virtio_pci.hpp"
#include "preflight/judge_parts.hpp"

namespace undercroft::preflight {
namespace {

// PCI Code and ID Assignment Specification 1.11, 1.2 and 1.4.
constexpr std::uint32_t base_storage = 0x01, nvme = 0x0108, raid = 0x0104, sata = 0x0106, sas = 0x0107, usb = 0x0C03;

std::string listed(std::vector<std::string> const& names)
{
    return names.empty() ? "no disk" : fmt::format("{}", fmt::join(names, ", "));
}

bool is_watched(PciDevice const& device)
{
    return device.class_code == platform::class_ahci || platform::is_ide(device.class_code);
}

std::string kind_of(PciDevice const& device)
{
    std::uint32_t const kind = device.class_code >> 8;
    return device.class_code == platform::class_ahci ? "AHCI controller"
           : platform::is_ide(device.class_code)     ? "IDE controller"
           : kind == nvme                            ? "NVMe disk"
           : kind == raid                            ? "RAID controller"
           : kind == sata                            ? "SATA controller in a mode of its own"
           : kind == sas                             ? "SAS controller"
           : kind == usb                             ? "USB controller"
                                                     : "storage controller of another kind";
}

std::string remedy_of(PciDevice const& device)
{
    std::uint32_t const kind = device.class_code >> 8;
    return kind == raid || kind == sata ? "for its SATA disks: choose AHCI instead of RAID in the setup" : "";
}

/// The name of the driver that knows this card; empty: none.
std::string driver_for(PciDevice const& device)
{
    if (net::E1000Chip const* const chip = net::find_e1000_chip(device.vendor, device.device))
        return chip->name;
    if (is_virtio_net(device) && device.virtio_modern != false)
        return "virtio-net";
    return {};
}

/// As nic = pci:... wants it.
std::string short_address(PciDevice const& device)
{
    return device.address.starts_with("0000:") ? device.address.substr(5) : device.address;
}

std::string card_text(PciDevice const& device)
{
    std::string const driver = driver_for(device);
    return fmt::format("{}{} ({})", short_address(device), driver.empty() ? "" : " " + driver,
                       device.interfaces.empty() ? "no interface"
                                                 : fmt::format("{}", fmt::join(device.interfaces, ", ")));
}

bool has_default_route(Facts const& facts, PciDevice const& card)
{
    return std::ranges::any_of(facts.interfaces, [&](Interface const& each) {
        return each.default_route && std::ranges::find(card.interfaces, each.name) != card.interfaces.end();
    });
}

void judge_choice(Facts const& facts, PciDevice const& card, std::vector<Finding>& findings)
{
    std::string const lost = card.interfaces.empty() ? "" : card.interfaces.front();
    std::vector<std::string> left;
    for (Interface const& each : facts.interfaces)
        if (each.hardware && std::ranges::find(card.interfaces, each.name) == card.interfaces.end())
            left.push_back(each.name);
    if (left.empty())
        findings.push_back({Level::note, fmt::format("network card: {}, the only one", card_text(card)),
                            "the sensor takes it for itself: the system would have no network", "add a second card"});
    else if (has_default_route(facts, card))
        findings.push_back({Level::note,
                            fmt::format("network card: {}, which carries the default route", card_text(card)),
                            fmt::format("the sensor takes it for itself: the system keeps {}", fmt::join(left, ", ")),
                            "move the system's network to another card first"});
    else
        findings.push_back({Level::ok,
                            fmt::format("network card: {}; the system would lose {} and keep {}", card_text(card),
                                        lost.empty() ? "nothing" : lost, fmt::join(left, ", ")),
                            {},
                            {}});
}

} // namespace

void judge_disks(Facts const& facts, std::vector<Finding>& findings)
{
    bool controller = false, disk = false;
    for (PciDevice const& device : facts.pci)
        if (is_watched(device)) {
            controller = true;
            disk = disk || !device.disks.empty();
            findings.push_back(
                {Level::ok,
                 fmt::format("{} {}: watched ({})", kind_of(device), short_address(device), listed(device.disks)),
                 {},
                 {}});
        }
    for (PciDevice const& device : facts.pci) {
        bool const storage = device.class_code >> 16 == base_storage;
        if (is_watched(device) || (!storage && device.disks.empty()))
            continue;
        if (!storage && device.class_code >> 8 != usb)
            continue;
        findings.push_back(
            {Level::note,
             fmt::format("{} {}: not watched ({})", kind_of(device), short_address(device), listed(device.disks)),
             "accesses to its disks are not seen", remedy_of(device)});
    }
    if (!facts.pci.empty() && !controller)
        findings.push_back({Level::problem, "no AHCI or IDE controller",
                            "there is nothing to watch: the sensor refuses to start",
                            "put the disk on a SATA port in AHCI mode"});
    else if (controller && !disk)
        findings.push_back({Level::note, "no disk on a watched controller", "the sensor would start and record nothing",
                            "put the disk on a SATA port in AHCI mode"});
}

void judge_network(Facts const& facts, std::vector<Finding>& findings)
{
    std::vector<PciDevice const*> usable;
    for (PciDevice const& device : facts.pci) {
        if (device.class_code != platform::class_ethernet)
            continue;
        if (!driver_for(device).empty())
            usable.push_back(&device);
        else if (device.virtio_modern == false)
            findings.push_back({Level::note,
                                fmt::format("network card: {}: virtio's legacy interface only", card_text(device)),
                                "the sensor's driver needs that of virtio 1.0", "disable-legacy=on (QEMU)"});
    }
    if (facts.pci.empty())
        return;
    if (usable.empty()) {
        findings.push_back({Level::problem, "no network card that the sensor has a driver for",
                            "it needs one for itself: Intel 82574L, 82540EM, 82545EM or virtio-net",
                            "add an Intel 82574L card (PCI Express x1)"});
        return;
    }
    for (PciDevice const* const card : usable)
        judge_choice(facts, *card, findings);
    if (usable.size() > 1)
        findings.push_back({Level::note, fmt::format("{} network cards fit the sensor", usable.size()),
                            "with nic = auto it refuses to choose",
                            fmt::format("nic = pci:{} in undercroft.conf", short_address(*usable.front()))});
}

void judge_iommu(Facts const& facts, std::vector<Finding>& findings)
{
    if (!facts.iommus.empty())
        findings.push_back(
            {Level::problem, fmt::format("IOMMU: in use by this system ({})", fmt::join(facts.iommus, ", ")),
             "the system does not know the sensor's card and would forbid its DMA: no record would arrive",
             "boot it with intel_iommu=off or amd_iommu=off, or switch it off in the setup (VT-d, AMD-Vi)"});
    else if (facts.iommu_announced)
        findings.push_back(
            {Level::note,
             "IOMMU: there is one, this system does not use it",
             "it must stay so (intel_iommu=off, amd_iommu=off); and the sensor's memory is not protected "
             "from DMA by other devices",
             {}});
    else
        findings.push_back(
            {Level::note, "IOMMU: none", "the sensor's memory is not protected from DMA by other devices", {}});
}

} // namespace undercroft::preflight
