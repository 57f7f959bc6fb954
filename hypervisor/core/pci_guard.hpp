// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps the traps where the devices are: hides the sensor's card, follows the watched
// controllers' BARs and the pages of their configuration space.
#include <array>
#include <cstdint>

#include "hypervisor/core/devices.hpp"
#include "hypervisor/core/mmio_router.hpp"
#include "hypervisor/platform/pci_mediator.hpp"

namespace undercroft::core {

/// What the guard changes: the nested tables and the port intercepts.
class TrapControl : public PortTraps {
public:
    enum class Trap : std::uint8_t { none, writes, everything };
    /// Both ends are page-aligned. False: out of table pages.
    [[nodiscard]] virtual bool set_trap(Gpa first, std::uint64_t bytes, Trap trap) = 0;

protected:
    ~TrapControl() = default;
};

class PciGuard final : private platform::PciEvents {
public:
    PciGuard(platform::PortPciConfig& ports, Devices& devices, MmioRouter& router, TrapControl& traps,
             Counters& counters)
        : devices_{&devices}, router_{&router}, traps_{&traps}, counters_{&counters}, mediator_{ports, *this, counters},
          ide_{devices.ides(), traps, ports_}
    {
    }

    /// Hides the card and sets every trap. Devices are idle. False: out of room.
    [[nodiscard]] bool start(platform::AcpiTables const& acpi);

    /// Ports whose accesses this answers.
    [[nodiscard]] bool owns_port(std::uint16_t port, unsigned width) const;
    [[nodiscard]] std::uint32_t port_read(std::uint16_t port, unsigned width);
    void port_write(std::uint16_t port, unsigned width, std::uint32_t value);

private:
    /// The index/data register pair of a controller (Serial ATA AHCI 1.3.1, 2.4): a second way to its registers.
    struct IndexPair {
        bool present = false;
        std::uint8_t bar = 0;
        std::uint16_t offset = 0;
        std::uint16_t port = 0; ///< 0: not decoded now
    };
    static constexpr unsigned pair_bytes = 8;

    [[nodiscard]] bool bar_may_move(platform::Bdf function, unsigned bar, platform::BarRange const& to) override;
    void bar_about_to_move(platform::Bdf function, unsigned bar, platform::BarRange const& to) override;
    void bar_moved(platform::Bdf function, unsigned bar, platform::BarRange const& from,
                   platform::BarRange const& to) override;
    void ecam_pages_changed() override;

    [[nodiscard]] bool find_index_pair(platform::PciConfig& config, std::size_t hba);
    [[nodiscard]] bool watch_controller(std::size_t hba);
    void move_registers(WatchedHba& hba, platform::BarRange const& from, platform::BarRange const& to);
    [[nodiscard]] bool set_traps();
    /// Whether a controller can be reached there at all: the guest may aim a BAR at RAM, at the sensor, at anything.
    [[nodiscard]] bool usable(WatchedHba const& hba, platform::BarRange const& place) const;
    void move_index_pair(IndexPair& pair, platform::BarRange const& to);
    [[nodiscard]] IndexPair const* pair_at(std::uint16_t port, unsigned width, std::size_t& hba) const;

    Devices* devices_;
    MmioRouter* router_;
    TrapControl* traps_;
    Counters* counters_;
    platform::PciMediator mediator_;
    HardwarePortIo ports_;
    IdeGuard ide_;
    std::array<PhysicalBus, platform::max_ecam_segments> ecam_buses_{};
    std::array<IndexPair, platform::max_storage_functions> pairs_{};
    alignas(platform::EcamPciConfig) std::byte
        ecam_memory_[platform::max_ecam_segments * sizeof(platform::EcamPciConfig)];
};

} // namespace undercroft::core
