// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/units.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/spinlock.hpp"

namespace undercroft::core {

/// Knows which handler traps which guest-physical MMIO, and leads accesses there. Reading is
/// lock-free on any CPU; adding, moving and removing take a lock.
///
/// After move() or remove() returns, other CPUs may still be inside the handler with an
/// offset of the old place, as if the guest's access had come before the move. Handlers
/// therefore live as long as the router.
class MmioRouter final : public MmioHandler {
public:
    static constexpr unsigned capacity = 32;
    using Id = unsigned;

    struct Range {
        Gpa gpa{};
        std::uint64_t bytes = 0;
        MmioHandler* handler = nullptr;
        bool readable_by_guest = false; ///< pages may be mapped read-only: reads need no exit
    };
    struct Route {
        Range range;
        Id id = 0;
        std::uint64_t offset = 0;
    };

    /// `elsewhere` gets what lies in a trapped page but in no range: offset = guest-physical
    /// address. It must refuse what belongs to the sensor.
    explicit MmioRouter(MmioBus& elsewhere) : elsewhere_{&elsewhere} {}

    /// Nothing: no place left, empty, overflowing, or overlapping another range.
    [[nodiscard]] std::optional<Id> add(Range range);
    /// False: `id` is not in use or the new place overlaps another range; nothing changes.
    [[nodiscard]] bool move(Id id, Gpa to);
    void remove(Id id);

    [[nodiscard]] std::optional<Range> range(Id id) const;
    /// The range that contains `gpa`.
    [[nodiscard]] std::optional<Route> lookup(Gpa gpa) const;
    /// Calls visit(Range) for each range that overlaps [at, at + bytes).
    template <typename Visit>
    void for_each_overlap(Gpa at, std::uint64_t bytes, Visit&& visit) const
    {
        for (Id id = 0; id < capacity; ++id)
            if (auto const r = range(id); r && overlap(*r, at, bytes))
                visit(*r);
    }

    /// As MmioHandler, with offset = guest-physical address. An access that is partly inside
    /// a range is halved until each part has one owner, and made lowest part first; so a
    /// handler always sees offset + width inside its range.
    [[nodiscard]] std::uint64_t read(std::uint64_t gpa, unsigned width) override;
    void write(std::uint64_t gpa, unsigned width, std::uint64_t value) override;

private:
    /// Fields may be read while they change: sequence_ tells (odd: a change is under way).
    struct Slot {
        std::atomic<std::uint64_t> gpa{0};
        std::atomic<std::uint64_t> bytes{0}; ///< 0: free
        std::atomic<MmioHandler*> handler{nullptr};
        std::atomic<bool> readable{false};
    };

    /// Whose all the bytes of an access are.
    struct Owner {
        enum class Kind : std::uint8_t { elsewhere, handler, several } kind;
        MmioHandler* handler;
        std::uint64_t offset;
    };

    static bool overlap(Range const& range, Gpa at, std::uint64_t bytes);
    [[nodiscard]] Range copy(Id id) const;
    [[nodiscard]] bool free_for(Range const& range, Id except) const;
    void store(Id id, Range const& range);
    /// Runs find() until no change happened meanwhile.
    template <typename Find>
    [[nodiscard]] auto consistent(Find&& find) const;
    [[nodiscard]] Owner owner(std::uint64_t gpa, unsigned width) const;

    MmioBus* elsewhere_;
    Spinlock lock_;
    std::atomic<std::uint32_t> sequence_{0};
    std::array<Slot, capacity> slots_;
};

} // namespace undercroft::core
