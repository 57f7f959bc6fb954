// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps the port traps where the IDE controllers' registers are, and leads accesses there to their mediators.
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "hypervisor/core/port_router.hpp"
#include "hypervisor/core/port_traps.hpp"
#include "hypervisor/mediate/ide/mediator.hpp"
#include "hypervisor/platform/pci_bars.hpp"

namespace undercroft::core {

inline constexpr std::size_t max_ide_controllers = 4;

struct WatchedIde {
    platform::PciFunction function;
    ide::IdeMediator* mediator = nullptr;
};

class IdeGuard {
public:
    IdeGuard(std::span<WatchedIde> controllers, PortTraps& traps, PortIo& ports)
        : controllers_{controllers}, traps_{&traps}, router_{ports}
    {
    }

    /// Traps a controller's registers where they are now and reads its state. False: some port is taken already.
    [[nodiscard]] bool start(std::size_t controller, platform::BarFollower const& bars);

    // As in platform::PciEvents.
    [[nodiscard]] bool may_move(platform::Bdf function, unsigned bar, platform::BarRange const& to) const;
    void about_to_move(platform::Bdf function, unsigned bar, platform::BarRange const& to);
    void moved(platform::Bdf function, unsigned bar, platform::BarRange const& to);

    /// Ports whose accesses this answers.
    [[nodiscard]] bool owns(std::uint32_t port, unsigned width) const { return router_.owns(port, width); }
    [[nodiscard]] std::uint32_t read(std::uint16_t port, unsigned width) { return router_.read(port, width); }
    void write(std::uint16_t port, unsigned width, std::uint32_t value) { router_.write(port, width, value); }

private:
    /// Registers that exit: part of a block, wherever that is.
    struct Window final : PortHandler {
        ide::IdeMediator* mediator = nullptr;
        unsigned channel = 0;
        ide::IdeMediator::Block block{};
        std::uint8_t bar = 0, bar_offset = 0, block_offset = 0, bytes = 0;
        struct Place {
            std::uint16_t first = 0;
            PortRouter::Id route = PortRouter::capacity;
            [[nodiscard]] bool used() const { return route != PortRouter::capacity; }
        };
        Place now, next; ///< `next` while a BAR is being moved

        [[nodiscard]] std::uint32_t port_read(std::uint16_t first, unsigned offset, unsigned width) override;
        void port_write(std::uint16_t first, unsigned offset, unsigned width, std::uint32_t value) override;
    };
    static constexpr std::size_t windows_per_channel = 4;
    using Windows = std::array<Window, windows_per_channel * ide::channels_of_controller>;

    static void lay_out(Windows& windows, ide::IdeMediator& mediator);
    [[nodiscard]] bool occupy(Window& window, Window::Place& place, std::uint16_t first);
    void vacate(Window const& window, Window::Place& place);
    void tell_ports(std::size_t controller);
    [[nodiscard]] bool set_place(Window& window, platform::BarRange const& to);
    [[nodiscard]] std::optional<std::size_t> index_of(platform::Bdf function) const;

    std::span<WatchedIde> controllers_;
    PortTraps* traps_;
    PortRouter router_;
    std::array<Windows, max_ide_controllers> windows_{};
};

} // namespace undercroft::core
