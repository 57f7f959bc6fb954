// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Hello and status: what the sensor says of itself.
#include "base/mul_div.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/net/sender.hpp"

namespace undercroft::net {

using wire::CounterId;

namespace {

constexpr CounterId all_counters[] = {
#define X(id, name, text) CounterId::name,
    UNDERCROFT_COUNTERS(X)
#undef X
};

} // namespace

void Sender::set_hello(HelloInfo const& info)
{
    core::SpinGuard const guard{lock_};
    hello_ = info;
}

void Sender::set_disk(wire::DiskInfo const& disk)
{
    core::SpinGuard const guard{lock_};
    std::size_t at = 0;
    while (at < disk_count_ && disks_[at].source != disk.source)
        ++at;
    if (at == disks_.size()) {
        core::log(core::LogLevel::warning, core::str("hello: no place for disk "), core::hex(disk.source.get()));
        return;
    }
    if (at < disk_count_ && __builtin_memcmp(&disks_[at], &disk, sizeof(disk)) == 0)
        return;
    disks_[at] = disk;
    disk_count_ = std::max(disk_count_, at + 1);
    hello_acknowledged_ = false;
    hello_counter_ = 0;
    next_hello_ = Tsc{};
}

void Sender::send_answer(Tsc now)
{
    auto const room = port_->buffer().subspan(sizeof(wire::DatagramHeader));
    std::size_t const bytes = commands_.write_answer(room.first(room.size() - wire::tag_bytes));
    if (send_sealed(wire::Type::answer, wire::Stream::control, 0, 0, bytes, now))
        commands_.answer_sent();
}

void Sender::send_reports(Tsc now)
{
    if (commands_.answer_due())
        send_answer(now);
    if (!hello_acknowledged_ && now >= next_hello_ && send_hello(now))
        next_hello_ = Tsc{now.value + tick_second_};
    if (now >= next_status_ && send_status(now))
        next_status_ = Tsc{now.value + tick_second_};
}

bool Sender::send_hello(Tsc now)
{
    auto const room = port_->buffer().subspan(sizeof(wire::DatagramHeader));
    std::size_t const fits = (room.size() - wire::tag_bytes - sizeof(wire::HelloBody)) / sizeof(wire::DiskInfo);
    std::size_t const disks = std::min(disk_count_, fits);
    if (disks < disk_count_ && hello_counter_ == 0)
        core::log(core::LogLevel::warning, core::str("hello: only "), core::dec(disks), core::str(" of "),
                  core::dec(disk_count_), core::str(" disks fit into a datagram"));
    wire::HelloBody body{};
    std::uint64_t const time = clock_->utc(now).value;
    body.time_utc_ns = time;
    body.start_utc_ns = clock_->utc(started_).value;
    __builtin_memcpy(body.sensor_version, hello_.sensor_version, sizeof(body.sensor_version));
    __builtin_memcpy(body.cpu_backend, hello_.cpu_backend, sizeof(body.cpu_backend));
    body.disks = static_cast<std::uint16_t>(disks);
    body.capture_mode = static_cast<std::uint16_t>(hello_.mode);
    body.policy = static_cast<std::uint16_t>(hello_.policy);
    __builtin_memcpy(room.data(), &body, sizeof(body));
    __builtin_memcpy(room.data() + sizeof(body), disks_.data(), disks * sizeof(wire::DiskInfo));
    if (!send_sealed(wire::Type::hello, wire::Stream::control, 0, 0, sizeof(body) + disks * sizeof(wire::DiskInfo),
                     now))
        return false;
    if (hello_counter_ == 0)
        hello_counter_ = counter_;
    return true;
}

bool Sender::send_status(Tsc now)
{
    auto const room = port_->buffer().subspan(sizeof(wire::DatagramHeader));
    std::size_t const fits = (room.size() - wire::tag_bytes - sizeof(wire::StatusBody)) / sizeof(wire::Counter);
    wire::StatusBody body{};
    body.time_utc_ns = clock_->utc(now).value;
    body.uptime_ns = mul_div(now.value - started_.value, 1'000'000'000, tick_second_);
    for (std::size_t i = 0; i < stream_count_; ++i)
        if (deliveries_[i].stream() == wire::Stream::storage) {
            body.next_sequence = deliveries_[i].buffer().next_sequence();
            body.next_slot = deliveries_[i].buffer().closed_end();
        }
    std::size_t next = 0;
    do {
        std::uint32_t count = 0;
        for (; next < std::size(all_counters) && count < fits; ++next) {
            wire::Counter counter{};
            counter.id = static_cast<std::uint16_t>(all_counters[next]);
            counter.value = counters_->get(all_counters[next]);
            if (counter.value.get() != 0)
                __builtin_memcpy(room.data() + sizeof(body) + count++ * sizeof(counter), &counter, sizeof(counter));
        }
        __builtin_memcpy(room.data(), &body, sizeof(body));
        if (!send_sealed(wire::Type::status, wire::Stream::control, 0, count,
                         sizeof(body) + count * sizeof(wire::Counter), now))
            return false;
    } while (next < std::size(all_counters));
    return true;
}

} // namespace undercroft::net
