// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Driver for virtio network devices (VIRTIO 1.0 and later, on PCI). Polled: no interrupts,
// no offloads, one receive and one transmit queue, one descriptor for a frame, at most one
// doorbell for everything that is queued. The device is not trusted.
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/net/device_access.hpp"
#include "hypervisor/net/nic.hpp"
#include "hypervisor/net/virtio_registers.hpp"
#include "hypervisor/net/virtqueue.hpp"

namespace undercroft::net {

/// The device's registers. Each bus begins at its structure.
struct VirtioWindows {
    core::MmioBus* common; ///< at least platform::virtio_common_bytes
    core::MmioBus* notify;
    core::MmioBus* device; ///< virtio_net_config
    std::uint32_t notify_bytes, notify_multiplier, device_bytes;
};

/// Memory that the device reads and writes: identity-mapped, page-aligned, out of the guest's reach.
struct VirtioNetMemory {
    static constexpr std::uint16_t rx_buffers = 128, tx_buffers = 256;
    /// A buffer begins with 4 bytes of nothing, so that the frame behind the header is aligned to 16. A device may fill
    /// 1,526 bytes whatever the MTU is (5.1.6.3.1).
    static constexpr std::size_t padding = 4;
    static constexpr std::size_t buffer_bytes(std::uint16_t mtu)
    {
        std::size_t const payload = mtu < 1500 ? 1500 : mtu;
        return (padding + virtio::header_bytes + 14 + payload + 4 + 63) & ~std::size_t{63}; // 4: a VLAN tag
    }
    static constexpr std::size_t queue_bytes(std::uint16_t size) { return (Virtqueue::bytes(size) + 63) & ~63UZ; }
    /// 0.6 MiB in all at mtu 1500, 3.4 MiB at 9000.
    static constexpr std::size_t bytes(std::uint16_t mtu)
    {
        return queue_bytes(rx_buffers) + queue_bytes(tx_buffers) + (rx_buffers + tx_buffers) * buffer_bytes(mtu);
    }
};

class VirtioNet final : public Nic {
public:
    /// `memory` has at least VirtioNetMemory::bytes(mtu). Bus mastering and memory decoding are on already.
    VirtioNet(VirtioWindows const& windows, core::Clock const& clock, std::span<std::byte> memory, std::uint16_t mtu);
    VirtioNet(VirtioNet const&) = delete;
    VirtioNet& operator=(VirtioNet const&) = delete;
    /// Resets and sets up the device. False (and logged): it offers less than is needed, or breaks the rules.
    [[nodiscard]] bool start();

    [[nodiscard]] MacAddress mac() const override { return mac_; }
    [[nodiscard]] std::uint16_t max_frame_bytes() const override { return static_cast<std::uint16_t>(mtu_ + 14); }
    [[nodiscard]] bool queue(std::span<std::byte const> frame) override;
    void kick() override;
    [[nodiscard]] std::span<std::byte const> receive() override;
    /// Starts a device again that asks for it or has broken the rules: what it held is lost then.
    [[nodiscard]] bool link_up() override;
    void stop() override;
    [[nodiscard]] std::uint64_t take_rx_dropped() override;

private:
    [[nodiscard]] bool reset();
    [[nodiscard]] char const* negotiate();
    [[nodiscard]] char const* set_up_queue(std::uint16_t number, Virtqueue& queue, std::byte* memory,
                                           std::uint16_t wanted, std::size_t& doorbell);
    /// Address and MTU. nullptr: good.
    [[nodiscard]] char const* read_config();
    /// nullptr: the device runs.
    [[nodiscard]] char const* set_up();
    void add_status(std::uint8_t bits);
    void give_back_rx();
    void publish_rx();
    void notify(std::uint16_t number, std::size_t doorbell);
    [[nodiscard]] std::byte* rx_buffer(std::size_t id) const { return rx_buffers_ + id * buffer_bytes_; }
    [[nodiscard]] std::byte* tx_buffer(std::size_t id) const { return tx_buffers_ + id * buffer_bytes_; }

    MmioRegisters common_bus_, device_bus_;
    Window<MmioRegisters> common_, device_;
    VirtioWindows windows_;
    core::Clock const* clock_;
    std::uint16_t mtu_;
    std::size_t buffer_bytes_;
    std::byte *rx_memory_, *tx_memory_, *rx_buffers_, *tx_buffers_;
    MacAddress mac_{};
    std::uint64_t features_ = 0;
    Virtqueue rx_, tx_;
    std::size_t rx_doorbell_ = 0, tx_doorbell_ = 0;
    bool running_ = false;
    std::uint16_t rx_held_id_ = 0;
    bool rx_held_ = false;          ///< the caller still looks at buffer rx_held_id_
    std::uint64_t rx_unusable_ = 0; ///< frames with impossible lengths since take_rx_dropped()
    unsigned restarts_ = 0;
};

} // namespace undercroft::net
