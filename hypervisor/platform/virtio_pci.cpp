// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/virtio_pci.hpp"

namespace undercroft::platform {
namespace {

constexpr std::uint8_t capability_vendor = 0x09;
// virtio_pci_cap: offsets and cfg_type, 4.1.4.
constexpr unsigned cap_length = 2, cap_type = 3, cap_bar = 4, cap_offset = 8, cap_bytes = 12, cap_multiplier = 16;
constexpr unsigned plain_cap_bytes = 16, notify_cap_bytes = 20;
enum CfgType : std::uint8_t { common_cfg = 1, notify_cfg = 2, device_cfg = 4 };
/// What the driver uses of the network device's own configuration: address and link.
constexpr std::uint32_t least_device_bytes = 8;

struct Need {
    VirtioStructure* into;
    std::uint32_t least_bytes, alignment;
};

} // namespace

bool is_virtio_net(PciFunction const& function)
{
    return function.vendor == virtio_vendor &&
           (function.device == virtio_net_modern || function.device == virtio_net_transitional);
}

std::optional<VirtioStructures> find_virtio_structures(PciConfig& config, Bdf function)
{
    VirtioStructures found;
    for_each_capability(config, function, [&](std::uint8_t kind, std::uint8_t at) {
        auto const field = [&](unsigned offset, unsigned width) {
            return at + offset + width <= 256 ? config.read(function, static_cast<std::uint16_t>(at + offset), width)
                                              : 0;
        };
        if (kind != capability_vendor || field(cap_length, 1) < plain_cap_bytes)
            return true;
        std::uint32_t const type = field(cap_type, 1);
        Need const need = type == common_cfg   ? Need{&found.common, virtio_common_bytes, 4}
                          : type == notify_cfg ? Need{&found.notify, 2, 2}
                          : type == device_cfg ? Need{&found.device, least_device_bytes, 4}
                                               : Need{};
        VirtioStructure const structure{static_cast<std::uint8_t>(field(cap_bar, 1)), field(cap_offset, 4),
                                        field(cap_bytes, 4)};
        // The first usable one of each kind is the one that the device likes best.
        if (need.into == nullptr || need.into->bytes != 0 || structure.bar >= max_bars ||
            structure.bytes < need.least_bytes || structure.offset % need.alignment != 0 ||
            read_bar(config, function, structure.bar).kind == Bar::Kind::io)
            return true;
        if (type == notify_cfg) {
            if (field(cap_length, 1) < notify_cap_bytes)
                return true;
            found.notify_multiplier = field(cap_multiplier, 4);
        }
        *need.into = structure;
        return true;
    });
    if (found.common.bytes == 0 || found.notify.bytes == 0 || found.device.bytes == 0)
        return {};
    return found;
}

} // namespace undercroft::platform
