// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor's own network card: chosen, taken into possession, driven.
#include <span>

#include "hypervisor/core/card_choice.hpp"
#include "hypervisor/core/physical_bus.hpp"
#include "hypervisor/core/region.hpp"
#include "hypervisor/core/system_memory.hpp"
#include "hypervisor/net/card_timer.hpp"
#include "hypervisor/net/nic.hpp"

namespace undercroft::core {

class NetworkCard {
public:
    /// Chooses among `cards`, protects the card's memory windows from DMA, gives the driver its memory and starts the
    /// card. The log says what went wrong.
    [[nodiscard]] boot::StartResult take(platform::EthernetFunctions const& cards, Config const& config,
                                         platform::PciConfig& pci, Region& region, SystemMemory& memory,
                                         Clock const& clock);
    /// The sensor does not start: the card must not write into memory that is given back.
    void give_up(platform::PciConfig& pci);

    /// After take(), on the CPU that is to be called. nullptr: this card cannot.
    [[nodiscard]] net::CardTimer* make_timer(platform::PciConfig& pci, Region& region, Clock const& clock);

    /// After take().
    [[nodiscard]] net::Nic& driver() const { return *driver_; }
    [[nodiscard]] platform::PciFunction const& function() const { return card_.function; }
    /// Every memory window of the card: registers, flash, MSI-X.
    [[nodiscard]] std::span<platform::Bar const> windows() const { return {windows_.begin(), windows_.size()}; }

private:
    [[nodiscard]] bool find_windows(platform::PciConfig& pci, SystemMemory& memory);
    /// The registers at `offset` in BAR `index`; false: there are none.
    [[nodiscard]] bool locate(PhysicalBus& bus, unsigned index, std::uint64_t offset, std::uint64_t bytes) const;
    [[nodiscard]] boot::StartResult start_e1000(Config const& config, Region& region, Clock const& clock);
    [[nodiscard]] boot::StartResult start_virtio(Config const& config, Region& region, Clock const& clock);

    NicCandidate card_;
    platform::FixedList<platform::Bar, platform::max_bars> windows_;
    PhysicalBus registers_, notify_, device_; ///< the latter two: virtio only
    net::Nic* driver_ = nullptr;
    bool taken_ = false;
};

} // namespace undercroft::core
