// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Follows the BARs of a watched function through the guest's configuration writes.
#include "hypervisor/core/counters.hpp"
#include "hypervisor/platform/pci.hpp"

namespace undercroft::platform {

/// Where a BAR is decoded. When it is not enabled, the base says where it would be.
struct BarRange {
    Bar::Kind kind = Bar::Kind::none;
    std::uint64_t base = 0;
    std::uint64_t size = 0;
    bool enabled = false;
    bool operator==(BarRange const&) const = default;
};

/// What the mediator reports. Called with its lock held: no configuration access from inside. The guest chooses
/// these addresses: a range may lie over RAM, the sensor or another device, where it has no effect on hardware and
/// nothing must be trapped.
class PciEvents {
public:
    /// False: the write that would make the BAR decode `to` is refused, because two devices would answer there.
    [[nodiscard]] virtual bool bar_may_move(Bdf function, unsigned bar, BarRange const& to)
    {
        (void)function, (void)bar, (void)to;
        return true;
    }
    /// The next write makes the BAR decode `to`: accesses there must be trapped from now on, those at the old place
    /// still.
    virtual void bar_about_to_move(Bdf function, unsigned bar, BarRange const& to) = 0;
    /// The write is done: only `to` is decoded now. Also when decoding is switched off or on.
    virtual void bar_moved(Bdf function, unsigned bar, BarRange const& from, BarRange const& to) = 0;
    /// Bus numbers change: PciMediator::ecam_pages() has other entries now. Pages newly in it must be trapped when this
    /// returns. Called before a write (old and new pages are listed) and after it (new ones only).
    virtual void ecam_pages_changed() = 0;

protected:
    ~PciEvents() = default;
};

/// One function's BARs. A sizing probe (all ones) is no move; the halves of a 64-bit BAR are followed as hardware
/// decodes them. The first four BARs of an IDE controller stand for its channels' registers, which lie at the old fixed
/// ports while a channel is in compatibility mode (PCI IDE Controller Specification 1.0, 2.1 and 2.2).
class BarFollower {
public:
    /// Sizes the BARs: the device must be idle.
    void set_up(PciConfig& config, Bdf function);
    [[nodiscard]] FixedList<BarRange, max_bars> const& ranges() const { return ranges_; }
    [[nodiscard]] Bar const& bar(std::size_t i) const { return bars_[i]; }

    /// Whether a write touches the command register, a BAR, or an IDE controller's modes.
    [[nodiscard]] bool concerns(std::uint16_t offset, unsigned width) const;
    /// False: the write must not be made.
    [[nodiscard]] bool before_write(PciConfig& config, Bdf function, std::uint16_t offset, unsigned width,
                                    std::uint32_t value, PciEvents& events) const;
    void after_write(PciConfig& config, Bdf function, PciEvents& events, core::Counters& counters);

private:
    struct Registers {
        std::uint32_t command;
        std::uint32_t bars[max_bars];
        std::uint8_t interface; ///< of the class code
        bool ide;
    };
    [[nodiscard]] Registers read_registers(PciConfig& config, Bdf function) const;
    [[nodiscard]] static BarRange decode(Bar const& bar, Registers const& registers);

    FixedList<Bar, max_bars> bars_;        ///< implemented ones; index and size do not change
    FixedList<BarRange, max_bars> ranges_; ///< as last reported, parallel to bars_
    std::uint64_t last_enabled_base_[max_bars]{};
    bool ide_ = false;
};

} // namespace undercroft::platform
