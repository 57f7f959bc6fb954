// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The budgeted monitor: as many page accesses as a share of all CPUs' time allows to see, by accessed and dirty bits.
// Scan after scan reads and clears the bits of the regions that are due (watch_regions.hpp); each scan's cost is
// measured and paid for by the wait until the next one; how many 2 MiB pieces are looked at in 4 KiB pages follows
// from how long these waits become. A few pages of interest are watched by faults (fault_capture.hpp).
#include <array>
#include <cstdint>

#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/fault_capture.hpp"
#include "hypervisor/memory/watch_regions.hpp"

namespace undercroft::memory {

struct WatchOptions {
    bool access_bits = true; ///< the processor has them, whatever the view says while it is not in use
    std::uint32_t cpus = 1;
    std::uint32_t default_budget_permille = 50;
    /// What the guest pays after a flush for each translation that it had used: a nested walk.
    std::uint32_t refill_ticks = 300;
    /// What each CPU pays for a flush besides: leaving the guest and entering it again. More, where exits cost more.
    std::uint32_t flush_ticks = 4000;
    /// The same for a fault.
    std::uint32_t fault_ticks = 3000;
    std::uint32_t shortest_period_us = 1000;
    std::uint32_t slice_us = 80; ///< work in one tick
};

class Watch final : public Engine {
public:
    Watch(EngineParts const& engine, WatchOptions const& options);

    // Engine
    [[nodiscard]] wire::ControlResult judge(wire::MemoryRequest& request) const override;
    [[nodiscard]] ViewUse view_use(wire::MemoryRequest const& request) const override;
    void start(wire::MemoryRequest const& request, Tsc now) override;
    void stop(Tsc now) override;
    void on_fault(Fault const& fault) override;
    [[nodiscard]] Tsc tick(Tsc now) override;
    void status(wire::MemoryStatus& status) const override;

    /// What the last scan cost, estimates included, and how long it is until the next.
    [[nodiscard]] std::uint64_t last_cost_ticks() const { return cost_; }
    [[nodiscard]] std::uint64_t last_period_ticks() const { return period_; }
    [[nodiscard]] std::uint64_t fine_target() const { return fine_target_; }
    [[nodiscard]] WatchRegions const& regions() const { return regions_; }

private:
    enum class Phase : std::uint8_t { off, waiting, scanning };
    class Look;
    /// Pages that follow each other and were accessed in the same way.
    struct Run {
        PageRange range;
        PageSize size = PageSize::small;
        bool written = false;
    };
    struct Scanned {
        PageRange range;
        bool fine = false;
    };

    void begin_scan(Tsc now);
    /// False: the scan is at its end.
    [[nodiscard]] bool scan_slice(Tsc now);
    [[nodiscard]] bool has_room_for(std::uint64_t pages) const;
    void found(Gpa first, std::uint32_t count, PageSize size, AccessBits bits, Tsc now);
    void learn_piece(Gpa page);
    void put_run(Tsc now);
    void end_region(std::size_t at);
    [[nodiscard]] std::uint32_t cooling() const;
    void note_scanned(WatchRegion const& region);
    void end_scan(Tsc now);
    void say_scanned(Tsc now);

    [[nodiscard]] std::uint64_t exit_ticks() const;
    void pay();
    [[nodiscard]] bool time_to_adapt() const;
    /// True: entries have other sizes now, which holds after a flush.
    [[nodiscard]] bool adapt(Tsc now);
    void forget_bits();
    void change_size(WatchRegion const& region, Tsc now);
    [[nodiscard]] std::size_t next_region() const;
    [[nodiscard]] std::uint64_t ticks_of_us(std::uint64_t us) const;

    EngineParts engine_;
    WatchOptions options_;
    WatchRegions regions_;
    FaultCapture capture_;
    wire::MemoryRequest request_{};
    Phase phase_ = Phase::off;

    std::uint32_t scan_ = 0;       ///< number of the scan
    std::uint64_t cursor_ = 0;     ///< guest-physical: what lies below is done in this scan
    LookResult look_;              ///< at the region that the cursor is in
    std::uint64_t next_piece_ = 0; ///< where an accessed piece of 2 MiB has not been counted yet
    Run run_;
    std::array<Scanned, WatchRegions::max_regions> scanned_{};
    std::size_t scanned_count_ = 0;
    std::uint64_t found_ = 0; ///< entries with a bit set, in this scan

    Tsc scan_begun_{}, next_scan_{};
    std::uint64_t cost_ = 0, fault_cost_ = 0, period_ = 0;
    std::uint64_t sending_ticks_ = 0; ///< that were paid for
    std::uint64_t period_sum_ = 0, scans_since_adapting_ = 0;
    std::uint64_t fine_target_ = 0;
    std::uint64_t records_ = 0, dropped_ = 0, cycles_ = 0, pages_ = 0;
};

} // namespace undercroft::memory
