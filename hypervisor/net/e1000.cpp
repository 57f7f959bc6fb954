// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/e1000.hpp"

#include "hypervisor/core/log.hpp"

namespace undercroft::net {

using namespace e1000;

namespace {

constexpr std::size_t rx_count = E1000Memory::rx_descriptors, tx_count = E1000Memory::tx_descriptors;
/// Receive descriptors are given back in groups: one register write for as many frames.
constexpr std::size_t rx_batch = 32;

} // namespace

E1000::E1000(E1000Chip const& chip, core::MmioBus& bus, core::Clock const& clock, std::span<std::byte> memory,
             std::uint16_t mtu)
    : chip_{&chip}, bus_{&bus}, registers_{bus_}, clock_{&clock}, mtu_{mtu},
      rx_buffer_bytes_{E1000Memory::rx_buffer_bytes(mtu)}, tx_buffer_bytes_{E1000Memory::tx_buffer_bytes(mtu)},
      rx_ring_{reinterpret_cast<RxDescriptor*>(memory.data())},
      tx_ring_{reinterpret_cast<TxDescriptor*>(memory.data() + rx_count * sizeof(RxDescriptor))},
      rx_buffers_{memory.data() + rx_count * sizeof(RxDescriptor) + tx_count * sizeof(TxDescriptor)},
      tx_buffers_{rx_buffers_ + rx_count * rx_buffer_bytes_}
{
}

void E1000::quiesce()
{
    registers_.write<InterruptMaskClear>(0xFFFFFFFF);
    registers_.write<ReceiveControl>(0);
    registers_.write<TransmitControl>(transmit::pad_short);
    if (!chip_->pci_express) {
        wait_us(*clock_, 10'000); // it does not say when its last bus transaction is over
        return;
    }
    // [82574] 5.2.3.3: no master request may be pending when the card is reset.
    registers_.write<DeviceControl>(registers_.read<DeviceControl>() | control::master_disable);
    for (int i = 0; i < 100 && (registers_.read<DeviceStatus>() & status::master_enabled) != 0; ++i)
        wait_us(*clock_, 100);
}

bool E1000::reset()
{
    quiesce();
    registers_.write<DeviceControl>(registers_.read<DeviceControl>() | control::reset);
    wait_us(*clock_, 10); // [8254x] 13.4.1: at least 1 us before the next access
    for (int i = 0; i < 100; ++i, wait_us(*clock_, 1000))
        if ((registers_.read<DeviceControl>() & control::reset) == 0) {
            wait_us(*clock_, 5000); // the card loads its EEPROM
            registers_.write<InterruptMaskClear>(0xFFFFFFFF);
            (void)registers_.read<InterruptCause>();
            return true;
        }
    return false;
}

bool E1000::read_eeprom(unsigned word, std::uint16_t& value)
{
    registers_.write<EepromRead>(1U | (word << chip_->eeprom_address_shift));
    for (int i = 0; i < 100; ++i, wait_us(*clock_, 50)) {
        std::uint32_t const answer = registers_.read<EepromRead>();
        if ((answer & chip_->eeprom_done) != 0) {
            value = static_cast<std::uint16_t>(answer >> 16);
            return true;
        }
    }
    return false;
}

bool E1000::read_mac()
{
    std::uint32_t low = registers_.read<ReceiveAddressLow>();
    std::uint32_t high = registers_.read<ReceiveAddressHigh>();
    if ((high & address_valid) == 0) {
        // The card has not loaded it by itself: words 0 to 2 of the EEPROM hold it.
        std::uint16_t words[3];
        for (unsigned i = 0; i < 3; ++i)
            if (!read_eeprom(i, words[i]))
                return false;
        low = words[0] | (static_cast<std::uint32_t>(words[1]) << 16);
        high = words[2];
    }
    for (unsigned i = 0; i < 4; ++i)
        mac_[i] = static_cast<std::uint8_t>(low >> (8 * i));
    mac_[4] = static_cast<std::uint8_t>(high);
    mac_[5] = static_cast<std::uint8_t>(high >> 8);
    registers_.write<ReceiveAddressLow>(low);
    registers_.write<ReceiveAddressHigh>((high & 0xFFFF) | address_valid);
    return is_station_address(mac_);
}

bool E1000::start()
{
    if (registers_.read<DeviceStatus>() == 0xFFFFFFFF || !reset() || !read_mac()) {
        core::log(core::LogLevel::error, core::str("network card "), core::str(chip_->name),
                  core::str(": does not answer as it should; it is not used"));
        return false;
    }
    for (std::size_t i = 0; i < multicast_registers; ++i)
        bus_.store<std::uint32_t>(multicast_table + 4 * i, 0);
    std::uint32_t const control = registers_.read<DeviceControl>() & ~(chip_->control_clear | control::master_disable);
    registers_.write<DeviceControl>(control | chip_->control_set);
    set_up_receive();
    set_up_transmit();
    core::log(core::LogLevel::info, core::str("network card "), core::str(chip_->name), core::str(", MAC "),
              core::hex(to_number(mac_)));
    return true;
}

void E1000::stop()
{
    quiesce();
    (void)reset();
}

void E1000::set_up_receive()
{
    for (std::size_t i = 0; i < rx_count; ++i) {
        rx_ring_[i].address = physical(rx_buffer(i));
        rx_ring_[i].length = 0;
        rx_ring_[i].status = 0;
        rx_ring_[i].errors = 0;
    }
    rx_next_ = rx_returned_ = 0;
    rx_held_ = rx_skipping_ = false;
    registers_.write<RxBaseLow>(static_cast<std::uint32_t>(physical(rx_ring_)));
    registers_.write<RxBaseHigh>(static_cast<std::uint32_t>(physical(rx_ring_) >> 32));
    registers_.write<RxLength>(rx_count * sizeof(RxDescriptor));
    registers_.write<RxDelay>(0);
    registers_.write<RxHead>(0);
    compiler_barrier();
    std::uint32_t const size = mtu_ <= 1500 ? receive::size_2048 : receive::size_16384_extended | receive::long_packets;
    registers_.write<ReceiveControl>(receive::enable | receive::accept_broadcast | receive::strip_crc | size);
    registers_.write<RxTail>(rx_count - 1); // one stays with us: head == tail means empty
}

void E1000::set_up_transmit()
{
    for (std::size_t i = 0; i < tx_count; ++i) {
        tx_ring_[i].address = physical(tx_buffer(i));
        tx_ring_[i].command = 0;
        tx_ring_[i].status = descriptor_done;
    }
    tx_next_ = 0;
    registers_.write<TxBaseLow>(static_cast<std::uint32_t>(physical(tx_ring_)));
    registers_.write<TxBaseHigh>(static_cast<std::uint32_t>(physical(tx_ring_) >> 32));
    registers_.write<TxLength>(tx_count * sizeof(TxDescriptor));
    registers_.write<TxHead>(0);
    registers_.write<TxTail>(0);
    registers_.write<TxDelay>(0);
    registers_.write<TxDescriptorControl>(chip_->tx_descriptor_control);
    registers_.write<TransmitGap>(chip_->transmit_gap);
    registers_.write<TransmitControl>(transmit::enable | transmit::pad_short | transmit::collision_threshold |
                                      transmit::collision_distance_full_duplex);
}

bool E1000::queue(std::span<std::byte const> frame)
{
    // The card works in order, so when the next but one is done all before it are; one
    // descriptor always stays unused, because a full ring would look empty (TDH == TDT).
    std::size_t const following = (tx_next_ + 1) % tx_count;
    if (frame.empty() || frame.size() > max_frame_bytes() || (tx_ring_[following].status & descriptor_done) == 0)
        return false;
    compiler_barrier();
    __builtin_memcpy(tx_buffer(tx_next_), frame.data(), frame.size());
    // The address is written again: it is the only thing that says where the card reads.
    tx_ring_[tx_next_].address = physical(tx_buffer(tx_next_));
    tx_ring_[tx_next_].length = static_cast<std::uint16_t>(frame.size());
    tx_ring_[tx_next_].checksum_offset = 0;
    tx_ring_[tx_next_].checksum_start = 0;
    tx_ring_[tx_next_].special = 0;
    tx_ring_[tx_next_].status = 0;
    tx_ring_[tx_next_].command = tx_end_of_packet | tx_insert_crc | tx_report_status;
    tx_next_ = following;
    return true;
}

void E1000::kick()
{
    compiler_barrier();
    registers_.write<TxTail>(static_cast<std::uint32_t>(tx_next_));
}

void E1000::give_back_rx()
{
    rx_ring_[rx_next_].address = physical(rx_buffer(rx_next_));
    rx_ring_[rx_next_].status = 0;
    rx_ring_[rx_next_].errors = 0;
    rx_next_ = (rx_next_ + 1) % rx_count;
    if (++rx_returned_ < rx_batch)
        return;
    rx_returned_ = 0;
    compiler_barrier();
    registers_.write<RxTail>(static_cast<std::uint32_t>((rx_next_ + rx_count - 1) % rx_count));
}

std::span<std::byte const> E1000::receive()
{
    if (rx_held_)
        give_back_rx();
    rx_held_ = false;
    // A card that lies could report "done" for ever: one round at most.
    for (std::size_t i = 0; i < rx_count; ++i) {
        std::uint8_t const status = rx_ring_[rx_next_].status;
        if ((status & descriptor_done) == 0)
            return {};
        compiler_barrier();
        std::size_t const length = rx_ring_[rx_next_].length;
        bool const last = (status & rx_end_of_packet) != 0;
        bool const usable = last && !rx_skipping_ && length != 0 && length <= rx_buffer_bytes_ &&
                            (rx_ring_[rx_next_].errors & rx_frame_errors) == 0;
        rx_skipping_ = !last;
        if (usable) {
            rx_held_ = true;
            return {rx_buffer(rx_next_), length};
        }
        rx_unusable_ += last ? 1 : 0;
        give_back_rx();
    }
    return {};
}

bool E1000::link_up()
{
    return (registers_.read<DeviceStatus>() & status::link_up) != 0;
}

std::uint32_t E1000::link_speed_mbit()
{
    constexpr std::uint32_t speeds[] = {10, 100, 1000, 1000};
    std::uint32_t const now = registers_.read<DeviceStatus>();
    return (now & status::link_up) != 0 ? speeds[now >> status::speed_shift & 3] : 0;
}

std::uint64_t E1000::take_rx_dropped()
{
    std::uint64_t const dropped = registers_.read<MissedPackets>() + rx_unusable_;
    rx_unusable_ = 0;
    return dropped;
}

} // namespace undercroft::net
