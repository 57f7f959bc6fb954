// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Knows which handler answers for which I/O ports. Looking up takes no lock; adding and removing is one caller at a
// time.
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "hypervisor/core/port_io.hpp"

namespace undercroft::core {

class PortHandler {
public:
    /// The access stays inside the range that begins at port `first`.
    [[nodiscard]] virtual std::uint32_t port_read(std::uint16_t first, unsigned offset, unsigned width) = 0;
    virtual void port_write(std::uint16_t first, unsigned offset, unsigned width, std::uint32_t value) = 0;

protected:
    ~PortHandler() = default;
};

class PortRouter {
public:
    static constexpr unsigned capacity = 64;
    using Id = unsigned;

    /// `elsewhere` gets the parts of an access that are nobody's.
    explicit PortRouter(PortIo& elsewhere) : elsewhere_{&elsewhere} {}

    /// Nothing: no place left, empty, beyond FFFFh, or overlapping another range.
    [[nodiscard]] std::optional<Id> add(std::uint16_t first, unsigned count, PortHandler& handler);
    /// Other CPUs may still be inside the handler when this returns; it lives as long as the router.
    void remove(Id id);

    /// Whether any of the ports belongs to a range.
    [[nodiscard]] bool owns(std::uint32_t port, unsigned width) const;
    /// An access that is partly inside a range is halved until each part has one owner, lowest part first.
    [[nodiscard]] std::uint32_t read(std::uint32_t port, unsigned width);
    void write(std::uint32_t port, unsigned width, std::uint32_t value);

private:
    struct Slot {
        std::atomic<std::uint32_t> range{0};        ///< first | count << 16; 0: free
        std::atomic<PortHandler*> handler{nullptr}; ///< never another one once set
    };
    struct Owner {
        PortHandler* handler = nullptr; ///< null: nobody's, or several
        std::uint16_t first = 0;
        bool several = false;
    };
    [[nodiscard]] Owner owner(std::uint32_t port, unsigned width) const;

    PortIo* elsewhere_;
    std::array<Slot, capacity> slots_;
};

} // namespace undercroft::core
