// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Linux: Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net.
#include "preflight/read_devices.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "hypervisor/platform/virtio_pci.hpp"

namespace undercroft::preflight {
namespace {

namespace fs = std::filesystem;

std::uint32_t hexadecimal(std::string_view text)
{
    if (text.starts_with("0x"))
        text.remove_prefix(2);
    std::uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

/// A function's configuration space as sysfs shows it: 64 bytes, or more to root.
class SavedConfig final : public platform::PciConfig {
public:
    explicit SavedConfig(fs::path const& file)
    {
        std::ifstream stream{file, std::ios::binary};
        stream.read(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
        size_ = static_cast<std::size_t>(stream.gcount());
    }
    [[nodiscard]] bool whole() const { return size_ == bytes_.size(); }
    std::uint32_t read(platform::Bdf, std::uint16_t offset, unsigned width) override
    {
        std::uint32_t value = 0;
        if (offset + width <= size_)
            std::memcpy(&value, bytes_.data() + offset, width);
        return value;
    }
    void write(platform::Bdf, std::uint16_t, unsigned, std::uint32_t) override {}

private:
    std::array<char, 256> bytes_{};
    std::size_t size_ = 0;
};

/// The interface of virtio 1.0. A device with the modern number has no other.
std::optional<bool> is_modern(PciDevice const& device, fs::path const& folder)
{
    if (device.device == platform::virtio_net_modern)
        return true;
    SavedConfig config{folder / "config"};
    if (!config.whole())
        return std::nullopt;
    return platform::find_virtio_structures(config, {}).has_value();
}

PciDevice read_device(fs::path const& folder, Facts& facts)
{
    PciDevice device;
    device.address = folder.filename().string();
    device.vendor = static_cast<std::uint16_t>(hexadecimal(line_of(folder / "vendor")));
    device.device = static_cast<std::uint16_t>(hexadecimal(line_of(folder / "device")));
    device.class_code = hexadecimal(line_of(folder / "class"));
    std::error_code none;
    device.driver = fs::read_symlink(folder / "driver", none).filename().string();
    device.interfaces = names_in(folder / "net");
    for (std::string const& child : names_in(folder))
        if (child.starts_with("virtio"))
            for (std::string& name : names_in(folder / child / "net"))
                device.interfaces.push_back(std::move(name));
    if (is_virtio_net(device)) {
        device.virtio_modern = is_modern(device, folder);
        if (!device.virtio_modern)
            facts.unread.push_back({"whether the virtio network card " + device.address + " has the interface of 1.0",
                                    "run this command as root"});
    }
    return device;
}

bool is_pci_address(std::string_view name)
{
    return name.size() >= 12 && name[name.size() - 2] == '.' && name[name.size() - 5] == ':' &&
           name[name.size() - 8] == ':';
}

/// A disk's place in the tree of devices leads over its controller: the innermost PCI function.
void assign_disks(fs::path const& root, Facts& facts)
{
    for (std::string const& disk : names_in(root / "sys/block")) {
        std::error_code failed;
        fs::path const place = fs::canonical(root / "sys/block" / disk, failed);
        std::string controller;
        for (fs::path const& part : place)
            if (is_pci_address(part.string()))
                controller = part.string();
        auto const device = std::ranges::find(facts.pci, controller, &PciDevice::address);
        if (!failed && device != facts.pci.end())
            device->disks.push_back(disk);
    }
}

std::vector<std::string> default_routes(fs::path const& root)
{
    std::vector<std::string> names;
    std::ifstream stream{root / "proc/net/route"};
    std::string line;
    while (std::getline(stream, line)) {
        std::istringstream words{line};
        std::string name, destination;
        if (words >> name >> destination && destination == "00000000")
            names.push_back(name);
    }
    return names;
}

} // namespace

std::string line_of(fs::path const& file)
{
    std::ifstream stream{file};
    std::string line;
    std::getline(stream, line);
    return line;
}

std::vector<std::string> names_in(fs::path const& folder)
{
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator entry{folder, failed}, end; !failed && entry != end; entry.increment(failed))
        names.push_back(entry->path().filename().string());
    std::ranges::sort(names);
    return names;
}

bool is_virtio_net(PciDevice const& device)
{
    platform::PciFunction function;
    function.vendor = device.vendor;
    function.device = device.device;
    return platform::is_virtio_net(function);
}

void read_devices(fs::path const& root, Facts& facts)
{
    fs::path const devices = root / "sys/bus/pci/devices";
    for (std::string const& address : names_in(devices))
        facts.pci.push_back(read_device(devices / address, facts));
    if (facts.pci.empty())
        facts.unread.push_back({"the PCI devices (/sys/bus/pci/devices)", "run this command outside of a container"});
    assign_disks(root, facts);
    std::vector<std::string> const routes = default_routes(root);
    for (std::string const& name : names_in(root / "sys/class/net")) {
        std::error_code none;
        facts.interfaces.push_back({name, fs::exists(root / "sys/class/net" / name / "device", none),
                                    std::ranges::find(routes, name) != routes.end()});
    }
}

} // namespace undercroft::preflight
