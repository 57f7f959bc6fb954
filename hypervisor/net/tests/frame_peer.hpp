// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The other end of the wire, at the level of frames, written by hand from RFC 826, 791,
// 768, 792 and 2131: lwIP is on one side only.
#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include "hypervisor/net/nic.hpp"

namespace undercroft::net {

using Frame = std::vector<std::uint8_t>;
using Ip = std::array<std::uint8_t, 4>;

/// A card whose wire is two queues.
struct FakeNic final : Nic {
    MacAddress own{0x52, 0x54, 0, 1, 2, 3};
    std::deque<Frame> to_sensor;
    std::vector<Frame> pending, from_sensor;
    std::size_t ring = 255;
    bool up = true;
    Frame current;

    MacAddress mac() const override { return own; }
    std::uint16_t max_frame_bytes() const override { return 9014; }
    bool queue(std::span<std::byte const> frame) override
    {
        if (pending.size() >= ring)
            return false;
        auto const* const bytes = reinterpret_cast<std::uint8_t const*>(frame.data());
        pending.emplace_back(bytes, bytes + frame.size());
        return true;
    }
    void kick() override
    {
        from_sensor.insert(from_sensor.end(), pending.begin(), pending.end());
        pending.clear();
    }
    std::span<std::byte const> receive() override
    {
        if (to_sensor.empty())
            return {};
        current = std::move(to_sensor.front());
        to_sensor.pop_front();
        return std::as_bytes(std::span{current});
    }
    bool link_up() override { return up; }
    void stop() override { up = false; }
    std::uint64_t take_rx_dropped() override { return 0; }
};

inline std::uint16_t be16(std::uint8_t const* at)
{
    return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}
inline void put16(Frame& frame, unsigned value)
{
    frame.push_back(static_cast<std::uint8_t>(value >> 8));
    frame.push_back(static_cast<std::uint8_t>(value));
}
template <typename Range>
void put_all(Frame& frame, Range const& bytes)
{
    frame.insert(frame.end(), std::begin(bytes), std::end(bytes));
}

/// RFC 1071.
inline std::uint16_t internet_checksum(std::uint8_t const* bytes, std::size_t size)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < size; ++i)
        sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

inline Frame arp(unsigned operation, MacAddress const& to, MacAddress const& from, Ip const& from_ip, Ip const& to_ip)
{
    Frame frame;
    put_all(frame, to);
    put_all(frame, from);
    put16(frame, 0x0806);
    put16(frame, 1);
    put16(frame, 0x0800);
    frame.push_back(6);
    frame.push_back(4);
    put16(frame, operation);
    put_all(frame, from);
    put_all(frame, from_ip);
    put_all(frame, to);
    put_all(frame, to_ip);
    frame.resize(60);
    return frame;
}

inline Frame ipv4(MacAddress const& to, MacAddress const& from, Ip const& from_ip, Ip const& to_ip,
                  std::uint8_t protocol, Frame const& payload, unsigned fragment = 0)
{
    Frame frame;
    put_all(frame, to);
    put_all(frame, from);
    put16(frame, 0x0800);
    put16(frame, 0x4500);
    put16(frame, static_cast<unsigned>(20 + payload.size()));
    put16(frame, 1);
    put16(frame, fragment);
    frame.push_back(64);
    frame.push_back(protocol);
    put16(frame, 0);
    put_all(frame, from_ip);
    put_all(frame, to_ip);
    std::uint16_t const sum = internet_checksum(frame.data() + 14, 20);
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
    put_all(frame, payload);
    return frame;
}

inline Frame udp(unsigned from_port, unsigned to_port, Frame const& payload)
{
    Frame segment;
    put16(segment, from_port);
    put16(segment, to_port);
    put16(segment, static_cast<unsigned>(8 + payload.size()));
    put16(segment, 0);
    put_all(segment, payload);
    return segment;
}

/// What a UDP frame says; empty when it is something else.
struct UdpFrame {
    MacAddress to;
    Ip from_ip, to_ip;
    unsigned from_port, to_port, checksum;
    Frame payload;
};
inline std::optional<UdpFrame> parse_udp(Frame const& frame)
{
    if (frame.size() < 42 || be16(&frame[12]) != 0x0800 || frame[23] != 17 || frame[14] != 0x45 ||
        internet_checksum(&frame[14], 20) != 0)
        return {};
    UdpFrame result;
    std::copy_n(frame.begin(), 6, result.to.begin());
    std::copy_n(frame.begin() + 26, 4, result.from_ip.begin());
    std::copy_n(frame.begin() + 30, 4, result.to_ip.begin());
    result.from_port = be16(&frame[34]);
    result.to_port = be16(&frame[36]);
    result.checksum = be16(&frame[40]);
    std::size_t const end = 34U + be16(&frame[38]);
    if (end > frame.size() || end < 42)
        return {};
    result.payload.assign(frame.begin() + 42, frame.begin() + static_cast<std::ptrdiff_t>(end));
    return result;
}

} // namespace undercroft::net
