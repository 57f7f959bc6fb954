// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Driver for Intel's PRO/1000 family (8254x and 8257x) with legacy descriptors; what differs
// between its chips is in one table. Polled, no interrupts, and no register read on the way
// of a frame: the card reports in the descriptors. The card is not trusted: nothing it
// writes is used as an address, and lengths are bounded.
#include <cstddef>
#include <cstdint>
#include <span>

#include "hypervisor/net/device_access.hpp"
#include "hypervisor/net/e1000_registers.hpp"
#include "hypervisor/net/nic.hpp"

namespace undercroft::net {

/// What differs between chips. Those for PCI are called e1000, those for PCI Express e1000e.
struct E1000Chip {
    std::uint16_t pci_device; ///< of vendor 0x8086
    char const* name;
    bool pci_express;          ///< has CTRL.GIO_MASTER_DISABLE
    std::uint32_t control_set; ///< CTRL bits to bring the link up
    std::uint32_t control_clear;
    std::uint32_t transmit_gap; ///< TIPG for copper
    std::uint32_t tx_descriptor_control;
    std::uint32_t eeprom_done; ///< EERD.DONE
    unsigned eeprom_address_shift;
};

/// nullptr: not supported.
[[nodiscard]] E1000Chip const* find_e1000_chip(std::uint16_t vendor, std::uint16_t device);

/// Memory that the card reads and writes: identity-mapped (physical = virtual), page-aligned,
/// out of the guest's reach.
struct E1000Memory {
    static constexpr std::size_t rx_descriptors = 128;
    static constexpr std::size_t tx_descriptors = 256;
    /// What one receive or transmit buffer takes.
    static constexpr std::size_t rx_buffer_bytes(std::uint16_t mtu) { return mtu <= 1500 ? 2048 : 16384; }
    static constexpr std::size_t tx_buffer_bytes(std::uint16_t mtu) { return (mtu + 14U + 63U) & ~std::size_t{63}; }
    /// 0.6 MiB in all at mtu 1500, 4.3 MiB at 9000.
    static constexpr std::size_t bytes(std::uint16_t mtu)
    {
        return rx_descriptors * (sizeof(e1000::RxDescriptor) + rx_buffer_bytes(mtu)) +
               tx_descriptors * (sizeof(e1000::TxDescriptor) + tx_buffer_bytes(mtu));
    }
};

class E1000 final : public Nic {
public:
    /// Of BAR 0.
    static constexpr std::size_t register_bytes = 0x20000;

    /// `memory` has at least E1000Memory::bytes(mtu). Bus mastering and memory decoding are on
    /// already (PCI command register). Call start() next.
    E1000(E1000Chip const& chip, core::MmioBus& bus, core::Clock const& clock, std::span<std::byte> memory,
          std::uint16_t mtu);
    E1000(E1000 const&) = delete;
    E1000& operator=(E1000 const&) = delete;
    /// Resets and sets up the card. False (and logged): it does not answer as such a card does.
    [[nodiscard]] bool start();

    [[nodiscard]] MacAddress mac() const override { return mac_; }
    [[nodiscard]] std::uint16_t max_frame_bytes() const override { return static_cast<std::uint16_t>(mtu_ + 14); }
    [[nodiscard]] bool queue(std::span<std::byte const> frame) override;
    void kick() override;
    [[nodiscard]] std::span<std::byte const> receive() override;
    [[nodiscard]] bool link_up() override;
    [[nodiscard]] std::uint32_t link_speed_mbit() override;
    void stop() override;
    [[nodiscard]] std::uint64_t take_rx_dropped() override;

private:
    void quiesce();
    [[nodiscard]] bool reset();
    [[nodiscard]] bool read_mac();
    [[nodiscard]] bool read_eeprom(unsigned word, std::uint16_t& value);
    void set_up_receive();
    void set_up_transmit();
    void give_back_rx();
    [[nodiscard]] std::byte* rx_buffer(std::size_t index) const { return rx_buffers_ + index * rx_buffer_bytes_; }
    [[nodiscard]] std::byte* tx_buffer(std::size_t index) const { return tx_buffers_ + index * tx_buffer_bytes_; }

    E1000Chip const* chip_;
    MmioRegisters bus_;
    Window<MmioRegisters> registers_;
    core::Clock const* clock_;
    std::uint16_t mtu_;
    std::size_t rx_buffer_bytes_, tx_buffer_bytes_;
    e1000::RxDescriptor volatile* rx_ring_;
    e1000::TxDescriptor volatile* tx_ring_;
    std::byte* rx_buffers_;
    std::byte* tx_buffers_;
    MacAddress mac_{};

    std::size_t tx_next_ = 0;       ///< descriptor of the next frame
    std::size_t rx_next_ = 0;       ///< descriptor that the card fills next
    std::size_t rx_returned_ = 0;   ///< descriptors given back, the card not told yet
    bool rx_held_ = false;          ///< the caller still looks at descriptor rx_next_
    bool rx_skipping_ = false;      ///< inside a frame that spans descriptors: too long for us
    std::uint64_t rx_unusable_ = 0; ///< frames with errors or impossible lengths since take_rx_dropped()
};

} // namespace undercroft::net
