// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Mediates the guest's configuration accesses: hides the sensor's card, follows the BARs of watched storage functions,
// keeps the way to the card open, and lets everything else pass.
#include "hypervisor/core/counters.hpp"
#include "hypervisor/platform/pci_bars.hpp"
#include "hypervisor/platform/pci_bridge_guard.hpp"

namespace undercroft::platform {

class PciMediator;

/// One segment's ECAM as the guest sees it: the handler of the whole region, of which only ecam_pages() need to be
/// trapped. Accesses to other pages pass through it unchanged. Lives as long as the mediator.
class EcamRegion final : public core::MmioHandler {
public:
    EcamRegion() = default;
    std::uint64_t read(std::uint64_t offset, unsigned width) override;
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override;
    [[nodiscard]] Gpa base() const { return Gpa{ecam_->segment().base}; }
    [[nodiscard]] std::uint64_t bytes() const { return (std::uint64_t{ecam_->segment().end_bus} + 1) << 20; }

private:
    friend class PciMediator;
    EcamRegion(PciMediator& mediator, EcamPciConfig& ecam) : mediator_{&mediator}, ecam_{&ecam} {}
    [[nodiscard]] Bdf function_at(std::uint64_t offset) const;
    PciMediator* mediator_ = nullptr;
    EcamPciConfig* ecam_ = nullptr;
};

/// Set up on one CPU (add_ecam, hide, watch, start) before guests run; then safe on any CPU.
class PciMediator {
public:
    static constexpr std::size_t max_functions = 48;
    /// Twice: while bus numbers change, old and new places are listed.
    using EcamPages = FixedList<Gpa, 2 * max_functions>;

    PciMediator(PortPciConfig& ports, PciEvents& events, core::Counters& counters)
        : ports_{&ports}, events_{&events}, counters_{&counters}
    {
    }
    /// Gives access to a segment's ECAM (one per MCFG entry).
    void add_ecam(EcamPciConfig& ecam) { regions_.push(EcamRegion{*this, ecam}); }
    /// The sensor's card: absent for the guest from now on. As function 0 of a device with other functions it stays
    /// visible as a device of no known kind, because guests look for the others only then. False: no room.
    [[nodiscard]] bool hide(Bdf function);
    /// A storage function whose BARs are followed. The device must be idle: its BARs are sized. False: no room.
    [[nodiscard]] bool watch(Bdf function);
    /// After all of the above: takes over the CF8h latch as it stands and lists the ECAM pages.
    void start();

    /// The BARs of a watched function as they stand; nothing when it is not watched.
    [[nodiscard]] BarFollower const* bars(Bdf function) const;

    /// Guest accesses that touch a port of 0xCF8 ... 0xCFF, any width and alignment. 0xCF9 passes: judge it first
    /// (platform/power.hpp).
    [[nodiscard]] std::uint32_t port_read(std::uint16_t port, unsigned width);
    void port_write(std::uint16_t port, unsigned width, std::uint32_t value);

    /// The ECAM regions: the handlers to route to.
    [[nodiscard]] std::span<EcamRegion> ecam_regions() { return {regions_.begin(), regions_.size()}; }
    /// Pages whose guest accesses must be trapped, without repetition. Changes only around ecam_pages_changed.
    [[nodiscard]] EcamPages const& ecam_pages() const { return pages_; }

    /// A guest access through ECAM that stays inside one dword.
    [[nodiscard]] std::uint32_t ecam_read(Bdf function, std::uint16_t offset, unsigned width);
    void ecam_write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value);

private:
    enum class Role : std::uint8_t { hidden, storage, bridge, host_bridge };
    struct Tracked {
        Role role = Role::bridge;
        Bdf now{}; ///< where it is, bus numbers being what they are
        bool reachable = true;
        std::uint8_t root_bus = 0;
        BridgePath path;         ///< bridges above by device and function, outermost first; bus numbers are stale
        bool above_card = false; ///< bridges: the hidden card is behind it
        BridgeGuard guard;
        BarFollower bars;
    };
    /// One write as the guest made it. `raw`: through the ports, to be repeated there exactly.
    struct Write {
        Bdf function;
        std::uint16_t offset;
        unsigned width;
        std::uint32_t value;
        bool raw;
        std::uint32_t address;
    };
    /// Stands for a bridge's secondary bus number that is about to be written.
    struct Renumbering {
        Tracked const* bridge;
        std::uint8_t secondary;
    };

    [[nodiscard]] PciConfig& config(std::uint16_t segment);
    [[nodiscard]] Tracked* track(Bdf function, Role role);
    [[nodiscard]] bool track_bridges(Bdf function, bool above_card, FixedList<Bar, max_bars> const& card);
    [[nodiscard]] Tracked* find(Bdf function);
    [[nodiscard]] bool ecam_base_in_host_bridge(Bdf host_bridge);

    [[nodiscard]] std::uint32_t data_read(std::uint16_t port, unsigned width);
    void data_write(std::uint16_t port, unsigned width, std::uint32_t value);
    void judge(Write write);
    void judge_bridge(Tracked& bridge, Write const& write);
    void perform(Write const& write);
    [[nodiscard]] std::uint32_t hidden_value(std::uint16_t offset, unsigned width) const;
    void refuse(Write const& write, char const* what);

    [[nodiscard]] bool locate(Tracked const& tracked, Renumbering const* pending, Bdf& where);
    void list_page(Bdf function);
    void renumber(Tracked& bridge, Write const& write);

    PortPciConfig* ports_;
    PciEvents* events_;
    core::Counters* counters_;
    FixedList<EcamRegion, max_ecam_segments> regions_;
    FixedList<Tracked, max_functions> functions_;
    EcamPages pages_;
    std::uint32_t latch_ = 0;
    bool placeholder_ = false; ///< the hidden card is function 0 with others beside it
    std::uint16_t hidden_vendor_ = 0xffff;
    core::Spinlock lock_;
};

} // namespace undercroft::platform
