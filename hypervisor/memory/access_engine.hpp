// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Mode `access` (the papers' prototype 2a): every so often rights are taken from the pages; each first access of its
// kind after that is one record.
//
// An instruction needs several pages at once (code, operands, the page tables to each). If they were taken from it
// again before it is through, the guest would never get on, so re-arming waits until every CPU that has faulted since
// the last time stands elsewhere, though not for longer than max_wait_us.
#include <array>
#include <cstdint>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/memory/engine.hpp"
#include "hypervisor/memory/range_request.hpp"

namespace undercroft::memory {

class AccessEngine final : public Engine {
public:
    AccessEngine(EngineParts const& parts, CpuProgress const& progress) : parts_{parts}, progress_{&progress} {}

    [[nodiscard]] wire::ControlResult judge(wire::MemoryRequest& request) const override;
    [[nodiscard]] ViewUse view_use(wire::MemoryRequest const&) const override { return ViewUse::faults; }
    void start(wire::MemoryRequest const& request, Tsc now) override;
    void stop(Tsc now) override;
    void on_fault(Fault const& fault) override;
    [[nodiscard]] Tsc tick(Tsc now) override;
    void on_turn(std::uint16_t cpu, Tsc now) override;
    void status(wire::MemoryStatus& status) const override;

private:
    [[nodiscard]] bool flag(std::uint16_t bit) const { return (request_.flags.get() & bit) != 0; }
    [[nodiscard]] bool all_moved(Tsc now) const;
    void arm_again(Tsc now);
    void arm_all(Tsc now, bool flush);

    /// More are armed again as a whole.
    static constexpr std::size_t max_touched = 4096;

    /// A CPU that has faulted since the last arming.
    struct Faulted {
        bool is = false;
        std::uint64_t left_fault = 0; ///< at the first of these faults
    };

    EngineParts parts_;
    CpuProgress const* progress_;
    wire::MemoryRequest request_{};
    PageRange range_{};
    PageSize size_ = PageSize::small;
    std::uint64_t period_ = 0; ///< TSC ticks; 0: by turns
    Tsc next_ = never;
    std::uint64_t turns_ = 0;
    bool turn_due_ = false;
    Tsc due_since_ = never; ///< re-arming waits for CPUs to move
    std::array<Faulted, boot::max_cpus> faulted_{};
    std::array<Gpa, max_touched> touched_{}; ///< since they were armed
    std::size_t touched_count_ = 0;          ///< max_touched + 1: too many
    std::uint64_t records_ = 0, dropped_ = 0, cycles_ = 0;
};

} // namespace undercroft::memory
