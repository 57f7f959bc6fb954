// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Sweeps over all usable memory: each page once, none left out, at a pace that guest and network bear.
//   live        each page as it is when its turn comes
//   consistent  each page as it was when the sweep began: a page is copied before its first write goes through
// Later sweeps send only the pages that may have been written since the sweep before began.
#include <cstdint>

#include "hypervisor/memory/cpu_hold.hpp"
#include "hypervisor/memory/dirty_log.hpp"
#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/page_copier.hpp"
#include "hypervisor/memory/token_bucket.hpp"
#include "hypervisor/observe/slot_buffer.hpp"

namespace undercroft::memory {

/// What a snapshot needs besides an engine's parts. All outlive it.
struct SnapshotParts {
    PageIndex const* index; ///< of all that the view calls usable
    DirtyLog* log;
    StandingTargets* targets;
    CpuHold* cpus;
    observe::RoomMaker* room_maker; ///< runs the sender while a CPU is held
    PageBitmap todo;                ///< zeroed
    std::span<ReservedPage> reserve;
};

struct SnapshotOptions {
    std::uint32_t default_rate_kib_per_s = 10240;
    bool access_bits = true; ///< the processor has them, whatever the view says while it is not in use
    std::uint32_t cpus = 1;
    std::uint32_t cost_permille = 30;            ///< of all CPUs' time, for what is done in ticks
    std::uint32_t cost_permille_with_rate = 250; ///< when a rate was asked for
    std::uint32_t hold_limit_ms = 2000;          ///< a CPU that is held so long breaks the sweep's consistency off
    std::uint32_t pages_per_tick = 16;           ///< copied
    std::uint32_t granules_per_tick = 16;        ///< of 2 MiB, of which the dirty bits are read
    std::uint32_t tick_us = 500;                 ///< while a sweep is under way
};

class Snapshot final : public Engine {
public:
    Snapshot(EngineParts const& engine, SnapshotParts const& parts, SnapshotOptions const& options);

    // Engine
    [[nodiscard]] wire::ControlResult judge(wire::MemoryRequest& request) const override;
    [[nodiscard]] ViewUse view_use(wire::MemoryRequest const& request) const override;
    void start(wire::MemoryRequest const& request, Tsc now) override;
    void stop(Tsc now) override;
    void on_fault(Fault const& fault) override;
    void on_device_write(PageRange range, std::uint16_t cpu, Tsc now) override;
    [[nodiscard]] Tsc tick(Tsc now) override;
    [[nodiscard]] bool finished() const override { return phase_ == Phase::off; }
    void status(wire::MemoryStatus& status) const override;

    /// Sweeps that began as consistent and could not be brought to an end so.
    [[nodiscard]] std::uint64_t broken() const { return broken_; }

private:
    static constexpr std::uint64_t granule_pages = huge_page_bytes / page_bytes;
    enum class Phase : std::uint8_t {
        off,
        waiting, ///< for the time of the next sweep
        collect, ///< reading dirty bits
        copy,
        end, ///< the last words wait for room
    };

    void begin_sweep();
    void begin_copying();
    void begin_live();
    void begin_consistent();
    void mark_standing();
    [[nodiscard]] bool collect_some(Tsc now);
    [[nodiscard]] bool copy_some(Tsc now);
    [[nodiscard]] bool end_sweep();
    void lose_consistency();

    void take_dirty(std::uint64_t first, std::uint64_t end);
    void pass_to(std::uint64_t page);
    void open_pages(std::uint64_t first, std::uint64_t end);
    void arm(paging::Permissions keep);
    void copy_before_write(std::uint64_t page, std::uint16_t cpu);
    /// False: no room.
    [[nodiscard]] bool copy_page(std::uint64_t page, std::uint16_t cpu, bool may_use_reserve);
    void say(wire::Kind kind, std::uint32_t length, bool consistent);
    [[nodiscard]] bool later_are_incremental() const;
    [[nodiscard]] bool reads_bits() const { return later_are_incremental() && engine_.view->has_access_bits(); }
    [[nodiscard]] std::uint64_t ticks_of_us(std::uint64_t us) const;
    /// Calls visit(PageRange) for the pages of these numbers.
    template <typename Visit>
    void for_each_piece(std::uint64_t first, std::uint64_t end, Visit&& visit) const;

    EngineParts engine_;
    SnapshotParts parts_;
    SnapshotOptions options_;
    PageCopier copier_;
    PageBitmap todo_; ///< pages that this sweep has still to record

    wire::MemoryRequest request_{};
    Phase phase_ = Phase::off;
    std::uint64_t first_ = 0, end_ = 0; ///< numbers of the pages in the request's range
    std::uint64_t cursor_ = 0;
    bool incremental_ = false; ///< this sweep
    bool have_base_ = false;   ///< a sweep of all pages was begun, and every write since is known
    bool consistent_ = false;  ///< this sweep, and its begin has been said
    bool by_faults_ = false;   ///< writes are noted by their faults: the processor has no dirty bits
    Tsc next_sweep_{};
    TokenBucket bytes_, cost_;
    std::uint64_t sending_ticks_ = 0; ///< looked at so far
    std::uint32_t recorded_ = 0;      ///< pages in this sweep
    std::uint64_t sweeps_ = 0;        ///< begun since the sensor's start
    std::uint64_t records_ = 0, cycles_ = 0, pages_ = 0, held_ = 0, broken_ = 0;
};

} // namespace undercroft::memory
