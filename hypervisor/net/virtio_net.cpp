// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/virtio_net.hpp"

#include <algorithm>
#include <bit>

#include "hypervisor/core/log.hpp"

namespace undercroft::net {

using namespace virtio;

namespace {

/// Receive buffers are given back in groups: one doorbell at most for as many frames.
constexpr std::uint16_t rx_batch = 32;
/// A device that has to be started again and again is left alone; one that cannot be, sooner.
constexpr unsigned max_restarts = 100;
constexpr std::uint64_t needed = feature::version_1 | feature::mac;
constexpr std::uint64_t welcome =
    feature::mtu | feature::link_status | feature::event_index | feature::access_platform | feature::order_platform;

} // namespace

VirtioNet::VirtioNet(VirtioWindows const& windows, core::Clock const& clock, std::span<std::byte> memory,
                     std::uint16_t mtu)
    : common_bus_{windows.common}, device_bus_{windows.device}, common_{common_bus_}, device_{device_bus_},
      windows_{windows}, clock_{&clock}, mtu_{mtu}, buffer_bytes_{VirtioNetMemory::buffer_bytes(mtu)},
      rx_memory_{memory.data()}, tx_memory_{rx_memory_ + VirtioNetMemory::queue_bytes(VirtioNetMemory::rx_buffers)},
      rx_buffers_{tx_memory_ + VirtioNetMemory::queue_bytes(VirtioNetMemory::tx_buffers)},
      tx_buffers_{rx_buffers_ + VirtioNetMemory::rx_buffers * buffer_bytes_}
{
}

void VirtioNet::add_status(std::uint8_t bits)
{
    common_.write<DeviceStatus>(static_cast<std::uint8_t>(common_.read<DeviceStatus>() | bits));
}

bool VirtioNet::reset()
{
    running_ = false;
    common_.write<DeviceStatus>(0);
    for (int i = 0; i < 100; ++i, wait_us(*clock_, 1000))
        if (common_.read<DeviceStatus>() == 0)
            return true; // 4.1.4.3.2: only now it is
    return false;
}

char const* VirtioNet::negotiate()
{
    std::uint64_t offered = 0;
    for (std::uint32_t half = 0; half < 2; ++half) {
        common_.write<DeviceFeatureSelect>(half);
        offered |= std::uint64_t{common_.read<DeviceFeature>()} << (32 * half);
    }
    if ((offered & needed) != needed)
        return (offered & feature::version_1) == 0 ? "it offers no virtio 1.0" : "it has no address";
    features_ = offered & (needed | welcome);
    if (windows_.device_bytes < NetMtu::offset + 2)
        features_ &= ~feature::mtu;
    for (std::uint32_t half = 0; half < 2; ++half) {
        common_.write<DriverFeatureSelect>(half);
        common_.write<DriverFeature>(static_cast<std::uint32_t>(features_ >> (32 * half)));
    }
    add_status(status::features_ok);
    return (common_.read<DeviceStatus>() & status::features_ok) == 0 ? "it refuses the features" : nullptr;
}

char const* VirtioNet::set_up_queue(std::uint16_t number, Virtqueue& queue, std::byte* memory, std::uint16_t wanted,
                                    std::size_t& doorbell)
{
    common_.write<QueueSelect>(number);
    std::uint16_t const size = std::min(std::bit_floor(common_.read<QueueSize>()), wanted);
    if (size < 2)
        return "a queue is missing";
    std::uint64_t const at = std::uint64_t{common_.read<QueueNotifyOff>()} * windows_.notify_multiplier;
    if (at + 2 > windows_.notify_bytes)
        return "a queue's doorbell lies outside";
    doorbell = at;
    queue.set_up(memory, size, (features_ & feature::event_index) != 0);
    common_.write<QueueSize>(size);
    common_.write<QueueMsixVector>(no_vector);
    common_.write<QueueDescLow>(static_cast<std::uint32_t>(queue.descriptor_area()));
    common_.write<QueueDescHigh>(static_cast<std::uint32_t>(queue.descriptor_area() >> 32));
    common_.write<QueueDriverLow>(static_cast<std::uint32_t>(queue.driver_area()));
    common_.write<QueueDriverHigh>(static_cast<std::uint32_t>(queue.driver_area() >> 32));
    common_.write<QueueDeviceLow>(static_cast<std::uint32_t>(queue.device_area()));
    common_.write<QueueDeviceHigh>(static_cast<std::uint32_t>(queue.device_area() >> 32));
    common_.write<QueueEnable>(1);
    return nullptr;
}

char const* VirtioNet::read_config()
{
    std::uint16_t mtu = 0xFFFF;
    // 2.5.1: what lies in several registers belongs together only while the generation stays the same.
    std::uint8_t before = 0, after = 1;
    for (int i = 0; i < 10 && before != after; ++i) {
        before = common_.read<ConfigGeneration>();
        for (std::size_t n = 0; n < mac_.size(); ++n)
            mac_[n] = device_bus_.load<std::uint8_t>(net_mac + n);
        if ((features_ & feature::mtu) != 0)
            mtu = device_.read<NetMtu>();
        after = common_.read<ConfigGeneration>();
    }
    if (before != after || !is_station_address(mac_))
        return "its address is not one";
    return mtu < mtu_ ? "its network carries less than mtu in the configuration" : nullptr;
}

char const* VirtioNet::set_up()
{
    if (!reset())
        return "it does not answer a reset";
    add_status(status::acknowledge);
    add_status(status::driver);
    if (char const* const problem = negotiate(); problem != nullptr)
        return problem;
    if (char const* const problem = read_config(); problem != nullptr)
        return problem;
    common_.write<ConfigMsixVector>(no_vector);
    if (common_.read<NumQueues>() < 2)
        return "a queue is missing";
    if (char const* const problem =
            set_up_queue(receive_queue, rx_, rx_memory_, VirtioNetMemory::rx_buffers, rx_doorbell_);
        problem != nullptr)
        return problem;
    if (char const* const problem =
            set_up_queue(transmit_queue, tx_, tx_memory_, VirtioNetMemory::tx_buffers, tx_doorbell_);
        problem != nullptr)
        return problem;
    for (std::uint16_t id = 0; id < tx_.size(); ++id)
        __builtin_memset(tx_buffer(id), 0, VirtioNetMemory::padding + header_bytes);
    rx_held_ = false;
    while (auto const id = rx_.take())
        rx_.offer(*id, rx_buffer(*id) + VirtioNetMemory::padding,
                  static_cast<std::uint32_t>(buffer_bytes_ - VirtioNetMemory::padding), true);
    add_status(status::driver_ok);
    running_ = true;
    publish_rx();
    return nullptr;
}

bool VirtioNet::start()
{
    if (char const* const problem = set_up(); problem != nullptr) {
        add_status(status::failed);
        core::log(core::LogLevel::error, core::str("network card virtio-net: "), core::str(problem),
                  core::str("; it is not used"));
        return false;
    }
    core::log(core::LogLevel::info, core::str("network card virtio-net, MAC "), core::hex(to_number(mac_)),
              core::str(", queues of "), core::dec(rx_.size()), core::str(" and "), core::dec(tx_.size()),
              core::str(", features "), core::hex(features_));
    return true;
}

void VirtioNet::stop()
{
    (void)reset();
}

void VirtioNet::notify(std::uint16_t number, std::size_t doorbell)
{
    windows_.notify->store(doorbell, 2, number);
}

bool VirtioNet::queue(std::span<std::byte const> frame)
{
    if (frame.empty() || frame.size() > max_frame_bytes() || !running_)
        return false;
    auto id = tx_.take();
    if (!id) { // only now: one look for many frames
        while (auto const sent = tx_.returned())
            tx_.release(sent->id);
        id = tx_.take();
    }
    if (!id)
        return false;
    std::byte* const buffer = tx_buffer(*id) + VirtioNetMemory::padding;
    __builtin_memcpy(buffer + header_bytes, frame.data(), frame.size());
    tx_.offer(*id, buffer, static_cast<std::uint32_t>(header_bytes + frame.size()), false);
    return true;
}

void VirtioNet::kick()
{
    if (running_ && tx_.publish())
        notify(transmit_queue, tx_doorbell_);
}

void VirtioNet::publish_rx()
{
    if (rx_.publish())
        notify(receive_queue, rx_doorbell_);
}

void VirtioNet::give_back_rx()
{
    rx_held_ = false;
    rx_.offer(rx_held_id_, rx_buffer(rx_held_id_) + VirtioNetMemory::padding,
              static_cast<std::uint32_t>(buffer_bytes_ - VirtioNetMemory::padding), true);
    if (rx_.unpublished() >= std::min(rx_batch, static_cast<std::uint16_t>(rx_.size() / 2)))
        publish_rx();
}

std::span<std::byte const> VirtioNet::receive()
{
    if (!running_)
        return {};
    if (rx_held_)
        give_back_rx();
    // A device that fills buffers with nonsense as fast as it gets them: one round at most.
    for (std::uint16_t i = 0; i < rx_.size(); ++i) {
        auto const filled = rx_.returned();
        if (!filled)
            return {};
        rx_held_ = true;
        rx_held_id_ = filled->id;
        if (filled->bytes > header_bytes && filled->bytes <= buffer_bytes_ - VirtioNetMemory::padding)
            return {rx_buffer(filled->id) + VirtioNetMemory::padding + header_bytes, filled->bytes - header_bytes};
        ++rx_unusable_;
        give_back_rx();
    }
    return {};
}

bool VirtioNet::link_up()
{
    bool const broken = rx_.broken() || tx_.broken();
    if (!running_ || broken || (common_.read<DeviceStatus>() & status::needs_reset) != 0) {
        if (restarts_ >= max_restarts) {
            running_ = false;
            return false;
        }
        ++restarts_;
        core::log(core::LogLevel::warning, core::str("network card virtio-net: "),
                  core::str(broken ? "returned what it was not given" : "has to be reset"),
                  core::str("; started again, time "), core::dec(restarts_));
        if (set_up() != nullptr) {
            restarts_ += 10;
            return false;
        }
    }
    return (features_ & feature::link_status) == 0 || (device_.read<NetStatus>() & net_link_up) != 0;
}

std::uint64_t VirtioNet::take_rx_dropped()
{
    std::uint64_t const dropped = rx_unusable_;
    rx_unusable_ = 0;
    return dropped;
}

} // namespace undercroft::net
