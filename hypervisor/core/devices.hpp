// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The devices that the sensor watches or owns, and the way of a record through them:
// mediator -> observer -> slot buffer -> sender -> network card.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/core/delivery.hpp"
#include "hypervisor/core/ide_guard.hpp"
#include "hypervisor/core/mmio_router.hpp"
#include "hypervisor/core/network_card.hpp"
#include "hypervisor/core/physical_bus.hpp"
#include "hypervisor/core/region.hpp"
#include "hypervisor/core/system_clock.hpp"
#include "hypervisor/core/system_memory.hpp"
#include "hypervisor/mediate/ahci/mediator.hpp"
#include "hypervisor/memory/device_writes.hpp"
#include "hypervisor/net/sender.hpp"
#include "hypervisor/net/sntp_clock.hpp"
#include "hypervisor/net/stack.hpp"
#include "hypervisor/observe/observer.hpp"
#include "hypervisor/observe/slot_buffer.hpp"
#include "hypervisor/platform/acpi.hpp"
#include "hypervisor/platform/pci.hpp"
#include "wire/control.hpp"

namespace undercroft::core {

/// A watched controller's registers.
struct WatchedHba {
    platform::PciFunction function;
    platform::Bar registers;
    PhysicalBus bus;
    ahci::AhciMediator* mediator = nullptr;
    MmioRouter::Id route = 0;
};

/// Hands commands to the observer and tells the sender about disks as they are described.
class DiskDirectory final : public observe::DiskObserver {
public:
    void attach(observe::Observer& observer, net::Sender& sender) { observer_ = &observer, sender_ = &sender; }
    void observe(observe::DiskCommand const& command, observe::ExtentSource& data) override
    {
        observer_->observe(command, data);
    }
    void describe(std::uint16_t source, std::uint16_t logical_sector_bytes, std::uint64_t capacity_512,
                  char const (&model)[40], char const (&serial)[20]) override;

private:
    observe::Observer* observer_ = nullptr;
    net::Sender* sender_ = nullptr;
};

class Devices final : public DeliveryWork, public memory::StandingTargets, public observe::RoomMaker {
public:
    Devices(Config const& config, boot::BootInfo const& info, SystemMemory& memory, Counters& counters,
            Clock const& start_clock)
        : config_{&config}, info_{&info}, memory_{&memory}, counters_{&counters}, start_clock_{&start_clock},
          clock_{&start_clock}
    {
    }

    /// Finds controllers and network card and builds the way of a record. Talks to the card until
    /// the network is up or a short time is over.
    boot::StartResult build(Region& region, platform::PciConfig& pci, std::uint8_t last_bus);

    /// The sensor does not start: the card must not write into memory that is given back.
    void give_up(platform::PciConfig& pci) { card_.give_up(pci); }

    [[nodiscard]] SystemMemory const& memory() const { return *memory_; }
    [[nodiscard]] std::span<WatchedHba> hbas() { return {hbas_.data(), hba_count_}; }
    [[nodiscard]] std::span<WatchedIde> ides() { return {ides_.data(), ide_count_}; }
    [[nodiscard]] NetworkCard const& card() const { return card_; }
    [[nodiscard]] net::CardTimer* make_timer(platform::PciConfig& pci, Region& region)
    {
        return card_.make_timer(pci, region, *clock_);
    }
    [[nodiscard]] bool commands_outstanding();
    [[nodiscard]] Clock const& clock() const { return *clock_; }
    /// Sends everything and waits until it is acknowledged (true). Gives up when no slot was
    /// acknowledged for `patience_ms`, or after two minutes.
    [[nodiscard]] bool drain(std::uint64_t patience_ms);
    void set_capture(bool on);
    /// Of the AHCI controllers (ahci/mediator.hpp).
    void set_hold(bool on);
    void set_before_os(bool on);
    void adopt_controllers();
    /// Fills in disks, link, addresses, buffer and the last acknowledgement.
    void describe_network(wire::ControlStatus& status);

    /// Of the memory stream; nullptr: the configuration has none.
    [[nodiscard]] observe::SlotBuffer* memory_buffer() { return memory_buffer_; }
    /// KiB per second that the memory stream may take of the link: half of it; 0: the card does not tell its speed.
    [[nodiscard]] std::uint32_t memory_rate_kib() const;
    /// What sending the memory stream has cost; with build_memory_stream().
    [[nodiscard]] std::atomic<std::uint64_t> const& memory_sending_ticks() const
    {
        return sender_->sending_ticks(wire::Stream::memory);
    }
    /// Who wants to know what the watched controllers will write to, from now on.
    void set_device_writes(memory::DeviceWrites& writes);
    // StandingTargets
    void standing_targets(memory::RangeVisitor& targets) override;
    // RoomMaker
    void make_room() override { sender_->make_room(); }
    /// Who carries out the collector's commands.
    void set_command_target(net::CommandTarget& target) { command_target_ = &target; }

    // DeliveryWork
    [[nodiscard]] bool unsent() const override;
    [[nodiscard]] bool unacknowledged() const override;
    [[nodiscard]] bool backlog() const override;
    [[nodiscard]] std::uint64_t answers() const override;
    bool poll(Tsc now, bool everything) override;

private:
    [[nodiscard]] bool build_delivery(Region& region);
    [[nodiscard]] bool build_memory_stream(Region& region);
    [[nodiscard]] std::uint64_t closed_slots() const;
    [[nodiscard]] bool watch_controllers(Region& region, platform::PciConfig& pci, platform::PciFindings const& found);
    [[nodiscard]] bool watch_ide(Region& region, platform::PciFindings const& found);
    void bring_network_up();

    Config const* config_;
    boot::BootInfo const* info_;
    SystemMemory* memory_;
    Counters* counters_;
    Clock const* start_clock_; ///< the firmware's time and the TSC
    Clock const* clock_;       ///< the same, corrected by SNTP once that is built

    NetworkCard card_;
    net::Stack* stack_ = nullptr;
    net::Sender* sender_ = nullptr;
    net::SntpClock* sntp_ = nullptr;
    observe::SlotBuffer* buffer_ = nullptr;
    observe::SlotBuffer* memory_buffer_ = nullptr;
    net::CommandTarget* command_target_ = nullptr;
    observe::Observer* observer_ = nullptr;
    DiskDirectory directory_;
    ahci::LargeTable* large_table_ = nullptr;
    std::array<WatchedHba, platform::max_storage_functions> hbas_{};
    std::size_t hba_count_ = 0;
    HardwarePortIo ports_;
    std::array<WatchedIde, max_ide_controllers> ides_{};
    std::size_t ide_count_ = 0;
    std::atomic<bool> unsent_{false};
    std::atomic<bool> holding_{false};
    std::atomic<std::uint64_t> seen_end_{0};
};

} // namespace undercroft::core
