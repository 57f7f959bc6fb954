// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns disk commands into records: the only way from mediators to the record buffer.
#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/config.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/observe/disk_command.hpp"
#include "hypervisor/observe/entropy_memo.hpp"
#include "hypervisor/observe/record_sink.hpp"
#include "wire/datagram.hpp"

namespace undercroft::observe {

class Observer final : public DiskObserver {
public:
    /// `key` is any number that the guest does not know; it protects the memory of entropies.
    /// The object is some 270 KiB: it belongs into static memory.
    Observer(core::GuestMemory const& memory, core::Clock const& clock, RecordSink& sink, core::Counters& counters,
             core::CaptureMode mode, std::uint64_t key)
        : memory_{&memory}, clock_{&clock}, sink_{&sink}, counters_{&counters}, mode_{mode}, memo_{key}
    {
    }

    void observe(DiskCommand const& command, ExtentSource& data) override;
    void describe(std::uint16_t source, std::uint16_t logical_sector_bytes, std::uint64_t capacity_512,
                  char const (&model)[40], char const (&serial)[20]) override;

    /// A record that tells the collector of capture being switched. Say `false` before it goes off and `true` after it
    /// came on: then nothing is missing outside the time between.
    void mark_capture(bool on);

    void set_mode(core::CaptureMode mode) { mode_.store(mode, std::memory_order_relaxed); }

    /// The disks described so far, for the hello datagram; returns how many were copied.
    unsigned disks(std::span<wire::DiskInfo> into);

private:
    struct Request;
    class Pages;

    void write_blocks(Request& request, DiskCommand const& command, Pages& pages);
    void one_range(Request& request, DiskCommand const& command);
    void put(Request& request, wire::Record& record, bool last, std::byte const* content);

    core::GuestMemory const* memory_;
    core::Clock const* clock_;
    RecordSink* sink_;
    core::Counters* counters_;
    std::atomic<core::CaptureMode> mode_;
    // The sink lets one command in at a time (begin_request ... end_request): that guards these two.
    EntropyMemo memo_;
    alignas(64) std::array<std::byte, wire::content_block_bytes> scratch_{};
    core::Spinlock disks_lock_;
    std::array<wire::DiskInfo, wire::max_hello_disks> disks_{};
    unsigned disk_count_ = 0;
};

} // namespace undercroft::observe
