// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Mode `written` (the papers' prototype 2b): pages are write-protected; a written page is copied some writes later.
//
// A write fault comes before the write. The page is granted and waits in a queue until depth_ other pages were written
// after it, or delay_ms are over. Then its write right is taken again, all CPUs are interrupted (one shootdown for
// many pages), and only then is it judged whether the write took place, and copied:
//   - the dirty bit of the page's nested entry was cleared with the grant and is set by the processor with the write;
//     after the shootdown nobody can write any more, so the answer is final. Not dirty: the write has not come yet (an
//     interrupt came between the grant and the instruction's second try, the task was moved to another CPU, or the
//     instruction met a fault of the guest's own). The page is dropped without a record; the write will fault again.
//   - an instruction that writes to two pages (an operand across their border, a frame pushed by an event) can mark
//     the first as dirty and then fault on the second. While the CPU that faulted still stands at that instruction
//     (CpuProgress: no exit since with other registers), the page is granted again and waits on.
//   - what is left: between the two faults of such an instruction the guest's own page fault handler, or an
//     interrupt, runs for longer than the queue is deep. The copy is then of before the write; since the right was
//     taken, the write faults again and the page is recorded a second time, as it is after it.
//   - without dirty bits (Intel before Haswell) only the second rule holds.
//
// A guest that writes all the time would spend nearly all of its time in faults. The budget is a share of all CPUs'
// time: what faults, copies and sending cost is taken from it, and while it is used up, the 2 MiB around a page that
// faults are left writable (memory_disarmed) until it has filled again (memory_armed, oldest first). So each fault
// beyond the budget buys 512 pages of peace, and the stream says which writes nobody looked for. The same happens when
// three quarters of the stream's buffer are full: a collector that cannot keep up costs looks, not records.
#include <array>
#include <cstdint>
#include <span>

#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/open_regions.hpp"
#include "hypervisor/memory/range_request.hpp"
#include "hypervisor/memory/token_bucket.hpp"

namespace undercroft::memory {

struct WrittenOptions {
    std::uint32_t cpus = 1;
    std::uint32_t default_budget_permille = 100;
    /// What the guest pays for a fault besides the time in here: leaving it, entering it, a walk.
    std::uint32_t fault_ticks = 3000;
    /// The same for a flush, each CPU.
    std::uint32_t flush_ticks = 4000;
};

class WrittenEngine final : public Engine {
public:
    static constexpr std::size_t capacity = 1024; ///< pages that may wait
    static constexpr std::uint16_t max_depth = 512;
    static constexpr std::uint32_t max_thin = 255;

    /// `writes` counts for thinning: one byte for each page up to the end of usable RAM, zeroed.
    WrittenEngine(EngineParts const& parts, CpuProgress const& progress, std::span<std::uint8_t> writes,
                  WrittenOptions const& options)
        : parts_{parts}, progress_{&progress}, writes_{writes}, options_{options}
    {
    }

    [[nodiscard]] wire::ControlResult judge(wire::MemoryRequest& request) const override;
    [[nodiscard]] ViewUse view_use(wire::MemoryRequest const&) const override { return ViewUse::faults_and_bits; }
    void start(wire::MemoryRequest const& request, Tsc now) override;
    void stop(Tsc now) override;
    void on_fault(Fault const& fault) override;
    [[nodiscard]] Tsc tick(Tsc now) override;
    void status(wire::MemoryStatus& status) const override;

private:
    struct Waiting {
        Gpa gpa{};
        Tsc since{};                  ///< its fault
        Tsc due{};                    ///< it need not wait longer
        std::uint64_t left_fault = 0; ///< the CPU's, when it faulted
        std::uint16_t cpu = 0;
        bool by_page_walk = false;
        bool was_dirty = false; ///< when it was looked at before
    };
    /// Retired with one shootdown.
    static constexpr std::size_t max_batch = 16;

    [[nodiscard]] bool paced() const { return request_.budget_permille.get() < 1000; }
    /// Takes from the budget what work() cost, sending since the last time included.
    template <typename Work>
    void charged(std::uint64_t besides, Work&& work);
    void take_fault(Fault const& fault);
    void leave_open(Gpa page, Tsc now);
    void arm_oldest(Tsc now);
    [[nodiscard]] Tsc next_arming(Tsc now);
    [[nodiscard]] Waiting& waiting(std::size_t position) { return queue_[(head_ + position) % capacity]; }
    void add(Waiting const& page);
    void retire(std::size_t count, Tsc now);
    void judge_retired(Waiting const& page, Tsc now);
    void record(Waiting const& page);
    void open_walked(Gpa page, Tsc now);
    void arm_walked();
    void flush();
    [[nodiscard]] std::size_t overdue(Tsc now);

    EngineParts parts_;
    CpuProgress const* progress_;
    std::span<std::uint8_t> writes_;
    WrittenOptions options_;
    TokenBucket budget_;              ///< in ticks
    std::uint64_t sending_ticks_ = 0; ///< that the budget was charged with
    OpenRegions open_;
    Tsc armed_open_{}; ///< when regions were armed again last
    wire::MemoryRequest request_{};
    PageRange range_{};
    std::uint64_t delay_ticks_ = 0;
    std::array<Waiting, capacity> queue_{};
    std::size_t head_ = 0, count_ = 0;
    std::array<Gpa, 512> walked_{}; ///< page tables of the guest that were walked, left writable for a while
    std::size_t walked_count_ = 0;
    Tsc walked_until_ = never;
    alignas(64) std::array<std::byte, page_bytes> copy_{};
    std::uint64_t records_ = 0, dropped_ = 0, cycles_ = 0, pages_ = 0;
};

} // namespace undercroft::memory
