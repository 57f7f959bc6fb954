// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/devices.hpp"

#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/version.hpp"

namespace undercroft::core {
namespace {

/// How long the start waits for link, address and collector before the system boots on.
constexpr std::uint64_t network_wait_ms = 1500;
constexpr unsigned ahci_bar = 5; // ABAR: AHCI 1.3.1, 2.1.11

} // namespace

void DiskDirectory::describe(std::uint16_t source, std::uint16_t logical_sector_bytes, std::uint64_t capacity_512,
                             char const (&model)[40], char const (&serial)[20])
{
    observer_->describe(source, logical_sector_bytes, capacity_512, model, serial);
    std::array<wire::DiskInfo, wire::max_hello_disks> disks{};
    unsigned const count = observer_->disks(disks);
    for (unsigned i = 0; i < count; ++i)
        if (disks[i].source.get() == source)
            sender_->set_disk(disks[i]);
    log(LogLevel::info, str("disk on source "), hex(source), str(": "), str({model, sizeof(model)}),
        str(" sectors of "), dec(logical_sector_bytes), str(" bytes, "), dec(capacity_512 / 2048), str(" MiB"));
}

boot::StartResult Devices::build(Region& region, platform::PciConfig& pci, std::uint8_t last_bus)
{
    platform::PciFindings const found = platform::find_devices(pci, 0, 0, last_bus);
    log(LogLevel::info, str("PCI: "), dec(found.functions), str(" functions, "), dec(found.ahci.size()), str(" AHCI, "),
        dec(found.ide.size()), str(" IDE, "), dec(found.ethernet.size()), str(" Ethernet"));
    if (std::size_t const omitted = found.ahci.omitted() + found.ide.omitted(); omitted != 0) {
        log(LogLevel::warning, dec(omitted), str(" further disk controllers are not watched"));
        counters_->add(wire::CounterId::controllers_not_watched, omitted);
    }
    if (found.ahci.empty() && found.ide.empty())
        return boot::StartResult::no_disk_controller;
    if (auto const result = card_.take(found.ethernet, *config_, pci, region, *memory_, *clock_);
        result != boot::StartResult::ok)
        return result;
    if (!build_delivery(region) || !watch_controllers(region, pci, found) || !watch_ide(region, found))
        return boot::StartResult::out_of_memory;
    bring_network_up();
    return boot::StartResult::ok;
}

bool Devices::build_delivery(Region& region)
{
    net::StackOptions const stack_options{.dhcp = config_->dhcp,
                                          .address = config_->address,
                                          .netmask = config_->netmask,
                                          .gateway = config_->gateway,
                                          .collector = config_->collector,
                                          .collector_port = config_->collector_port,
                                          .sntp = config_->sntp,
                                          .sntp_server = config_->sntp_server,
                                          .sntp_port = config_->sntp_port,
                                          .mtu = config_->mtu,
                                          .random_seed = info_->random_seed ^ 1};
    sntp_ = region.make<net::SntpClock>(
        *start_clock_,
        net::SntpClock::Options{.interval_s = config_->sntp_interval_s, .random_seed = info_->random_seed}, *counters_);
    if (sntp_ == nullptr)
        return false;
    clock_ = sntp_;
    stack_ = region.make<net::Stack>(stack_options, card_.driver(), *clock_, *counters_);
    if (stack_ == nullptr)
        return false;
    if (config_->sntp)
        sntp_->set_server(*stack_);
    net::SenderOptions sender_options{};
    sender_options.machine_id = config_->machine_id;
    __builtin_memcpy(sender_options.boot_id.data(), info_->boot_id, sizeof(info_->boot_id));
    sender_options.key = config_->key;
    sender_options.mtu = config_->mtu;
    sender_ = region.make<net::Sender>(sender_options, *stack_, *clock_, *counters_);
    std::size_t const buffer_bytes = std::size_t{config_->buffer_kib} * 1024;
    auto* const memory = static_cast<std::byte*>(region.allocate(buffer_bytes, page_bytes));
    if (sender_ == nullptr || memory == nullptr)
        return false;
    observe::SlotBuffer::Options const slot_options{.policy = config_->policy,
                                                    .send_delay_ms = config_->send_delay_ms,
                                                    .max_slot_bytes = net::max_slot_bytes(config_->mtu)};
    buffer_ =
        region.make<observe::SlotBuffer>(std::span{memory, buffer_bytes}, slot_options, *clock_, *counters_, sender_);
    if (buffer_ == nullptr || !sender_->add_stream(wire::Stream::storage, *buffer_))
        return false;
    if (config_->memory && !build_memory_stream(region))
        return false;
    sender_->set_task(*sntp_);
    net::HelloInfo hello{};
    __builtin_memcpy(hello.sensor_version, version, sizeof(version));
    std::string_view const backend = backend::find_vendor()->name();
    __builtin_memcpy(hello.cpu_backend, backend.data(), backend.size());
    hello.mode = config_->mode;
    hello.policy = config_->policy;
    sender_->set_hello(hello);
    observer_ =
        region.make<observe::Observer>(*memory_, *clock_, *buffer_, *counters_, config_->mode, info_->random_seed ^ 2);
    if (observer_ == nullptr)
        return false;
    if (!config_->capture_at_start)
        observer_->mark_capture(false);
    directory_.attach(*observer_, *sender_);
    return true;
}

bool Devices::build_memory_stream(Region& region)
{
    std::size_t const bytes = std::size_t{config_->memory_buffer_kib} * 1024;
    auto* const memory = static_cast<std::byte*>(region.allocate(bytes, page_bytes));
    if (memory == nullptr)
        return false;
    using enum wire::CounterId;
    observe::SlotBuffer::Options const options{.policy = Policy::drop, // a guest must not wait for its own monitor
                                               .send_delay_ms = config_->send_delay_ms,
                                               .max_slot_bytes = net::max_slot_bytes(config_->mtu),
                                               .counters = {.made = memory_records,
                                                            .dropped = memory_records_dropped,
                                                            .content_bytes = memory_content_bytes,
                                                            .slots_closed = memory_slots_closed,
                                                            .slots_freed = memory_slots_freed}};
    memory_buffer_ = region.make<observe::SlotBuffer>(std::span{memory, bytes}, options, *clock_, *counters_, nullptr);
    return memory_buffer_ != nullptr && sender_->add_stream(wire::Stream::memory, *memory_buffer_);
}

bool Devices::watch_controllers(Region& region, platform::PciConfig& pci, platform::PciFindings const& found)
{
    large_table_ = region.make<ahci::LargeTable>();
    if (large_table_ == nullptr)
        return false;
    for (auto const& function : found.ahci) {
        WatchedHba& hba = hbas_[hba_count_];
        hba.function = function;
        hba.registers = platform::size_bar(pci, function.bdf, ahci_bar);
        platform::BdfText text;
        if (hba.registers.size == 0 || hba.registers.base == 0) {
            log(LogLevel::warning, str("AHCI controller "), str(name_of(function.bdf, text)),
                str(" has no registers yet"));
        }
        hba.bus.set_base(hba.registers.base);
        hba.mediator = region.make<ahci::AhciMediator>(
            static_cast<std::uint8_t>(hba_count_), static_cast<std::uint32_t>(hba.registers.size), hba.bus, *memory_,
            directory_, *counters_, *large_table_,
            ahci::Options{.verify_tables = true, .fingerprint_seed = info_->random_seed ^ 3});
        if (hba.mediator == nullptr)
            return false;
        ++hba_count_;
        hba.mediator->set_capture(config_->capture_at_start);
        hba.mediator->set_before_os(true);
        hba.mediator->adopt();
        log(LogLevel::info, str("AHCI controller "), str(name_of(function.bdf, text)), str(" registers at "),
            hex(hba.registers.base), str(" + "), hex(hba.registers.size));
    }
    return true;
}

/// Their source numbers go on where the AHCI controllers' end.
bool Devices::watch_ide(Region& region, platform::PciFindings const& found)
{
    constexpr std::uint64_t bus_master_reach = 1ULL << 32;
    for (auto const& function : found.ide) {
        char text[12];
        if (ide_count_ == ides_.size()) {
            log(LogLevel::warning, str("IDE controller "), str(name_of(function.bdf, text)),
                str(" is one too many: not watched"));
            counters_->add(wire::CounterId::controllers_not_watched);
            continue;
        }
        ide::TableMemories tables;
        for (ide::TableMemory& memory : tables) {
            memory.table = region.make<ide::PrdTable>();
            memory.bus_address = reinterpret_cast<std::uint64_t>(memory.table);
            if (memory.table == nullptr || memory.bus_address + sizeof(ide::PrdTable) > bus_master_reach)
                return false;
        }
        WatchedIde& watched = ides_[ide_count_];
        watched.function = function;
        watched.mediator = region.make<ide::IdeMediator>(static_cast<std::uint8_t>(hba_count_ + ide_count_), ports_,
                                                         *memory_, directory_, *counters_, tables);
        if (watched.mediator == nullptr)
            return false;
        ++ide_count_;
        watched.mediator->set_capture(config_->capture_at_start);
        watched.mediator->set_before_os(true);
        log(LogLevel::info, str("IDE controller "), str(name_of(function.bdf, text)), str(" is number "),
            dec(hba_count_ + ide_count_ - 1));
    }
    return true;
}

void Devices::bring_network_up()
{
    Tsc const start = clock_->tsc();
    std::uint64_t const limit = network_wait_ms * (clock_->tsc_hz() / 1000);
    while (clock_->tsc().value - start.value < limit && counters_->get(wire::CounterId::acks_accepted) == 0)
        (void)poll(clock_->tsc(), true);
    auto const address = stack_->address();
    log(LogLevel::info, str("network: address "), dec(address[0]), str("."), dec(address[1]), str("."), dec(address[2]),
        str("."), dec(address[3]),
        str(counters_->get(wire::CounterId::acks_accepted) != 0 ? ", the collector answers"
                                                                : ", no answer from the collector yet"));
}

bool Devices::commands_outstanding()
{
    for (WatchedHba const& hba : hbas())
        if (hba.mediator->any_outstanding())
            return true;
    for (WatchedIde const& ide : ides())
        if (ide.mediator->any_outstanding())
            return true;
    return false;
}

void Devices::set_capture(bool on)
{
    if (!on)
        observer_->mark_capture(false);
    for (WatchedHba const& hba : hbas())
        hba.mediator->set_capture(on);
    for (WatchedIde const& ide : ides())
        ide.mediator->set_capture(on);
    if (on)
        observer_->mark_capture(true);
}

void Devices::set_hold(bool on)
{
    holding_.store(on, std::memory_order_relaxed);
    for (WatchedHba const& hba : hbas())
        hba.mediator->set_hold(on);
}

void Devices::set_before_os(bool on)
{
    for (WatchedHba const& hba : hbas())
        hba.mediator->set_before_os(on);
    for (WatchedIde const& ide : ides())
        ide.mediator->set_before_os(on);
}

void Devices::adopt_controllers()
{
    for (WatchedHba const& hba : hbas())
        hba.mediator->adopt();
}

std::uint32_t Devices::memory_rate_kib() const
{
    return card_.driver().link_speed_mbit() * (1'000'000 / 8 / 2 / 1024);
}

void Devices::set_device_writes(memory::DeviceWrites& writes)
{
    for (WatchedHba const& hba : hbas())
        hba.mediator->set_device_writes(writes);
    for (WatchedIde const& ide : ides())
        ide.mediator->set_device_writes(writes);
}

void Devices::standing_targets(memory::RangeVisitor& targets)
{
    for (WatchedHba const& hba : hbas())
        hba.mediator->standing_targets(targets);
}

/// Of all streams: it changes when a slot is closed.
std::uint64_t Devices::closed_slots() const
{
    return buffer_->closed_end() + (memory_buffer_ != nullptr ? memory_buffer_->closed_end() : 0);
}

bool Devices::unsent() const
{
    return buffer_->has_open_slot() || (memory_buffer_ != nullptr && memory_buffer_->has_open_slot()) || backlog();
}

bool Devices::unacknowledged() const
{
    // A guest that waits for its disk makes no exits; the order to release it must be heard all the same.
    return buffer_->oldest() != buffer_->closed_end() || sntp_->asking() || holding_.load(std::memory_order_relaxed) ||
           (memory_buffer_ != nullptr && memory_buffer_->oldest() != memory_buffer_->closed_end());
}

bool Devices::backlog() const
{
    return unsent_.load(std::memory_order_relaxed) || closed_slots() != seen_end_.load(std::memory_order_relaxed);
}

std::uint64_t Devices::answers() const
{
    return counters_->get(wire::CounterId::acks_accepted) + counters_->get(wire::CounterId::sntp_answers);
}

bool Devices::poll(Tsc now, bool everything)
{
    if (everything)
        sender_->flush();
    net::PollResult const result = sender_->poll(now);
    if (result.busy)
        return false;
    unsent_.store(result.unsent, std::memory_order_relaxed);
    seen_end_.store(closed_slots(), std::memory_order_relaxed);
    if (command_target_ != nullptr)
        sender_->serve_command(*command_target_);
    return true;
}

bool Devices::drain(std::uint64_t patience_ms)
{
    constexpr std::uint64_t limit_ms = 120000;
    std::uint64_t const ticks_per_ms = clock_->tsc_hz() / 1000;
    std::uint64_t const start = clock_->tsc().value;
    sender_->flush();
    auto const slots_freed = [this] {
        return counters_->get(wire::CounterId::slots_freed) + counters_->get(wire::CounterId::memory_slots_freed);
    };
    for (std::uint64_t freed = ~0ULL; slots_freed() != freed;) {
        freed = slots_freed();
        std::uint64_t const now = clock_->tsc().value;
        if (sender_->drain(Tsc{now + patience_ms * ticks_per_ms}))
            return true;
        if (now - start > limit_ms * ticks_per_ms)
            return false;
    }
    return false;
}

void Devices::describe_network(wire::ControlStatus& status)
{
    std::array<wire::DiskInfo, wire::max_hello_disks> disks{};
    status.disks = static_cast<std::uint16_t>(observer_->disks(disks));
    status.buffer_used = buffer_->used_bytes();
    if (Tsc const last = sender_->last_ack(); last.value != 0)
        status.last_ack_utc_ns = clock_->utc(last).value;
    status.link_up = static_cast<std::uint8_t>(card_.driver().link_up() ? 1 : 0);
    core::Ipv4 const address = stack_->address();
    __builtin_memcpy(status.address, address.data(), 4);
}

} // namespace undercroft::core
