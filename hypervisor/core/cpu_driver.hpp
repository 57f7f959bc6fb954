// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One CPU at work: its backend, exit loop and delivery, behind one interface for whichever vendor it is.
#include <cstdint>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/delivery.hpp"
#include "hypervisor/core/exit_loop.hpp"
#include "hypervisor/core/region.hpp"
#include "hypervisor/core/startup.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {

class CpuDriver {
public:
    /// On the CPU itself: makes its state the guest's.
    [[nodiscard]] virtual boot::StartResult capture(CapturedState const& captured) = 0;
    [[noreturn]] virtual void run() = 0;
    /// On the CPU itself: drops its cached nested translations.
    virtual void flush_nested() = 0;
    virtual void set_guest_tsc(std::uint64_t value) = 0;
    /// The guest's TSC minus the machine's.
    [[nodiscard]] virtual std::uint64_t tsc_offset() const = 0;
    virtual void set_tsc_offset(std::uint64_t offset) = 0;
    /// On the CPU itself, in the sensor's NMI handler.
    virtual void note_nmi() = 0;

protected:
    ~CpuDriver() = default;
};

/// What a CPU works with, whatever its vendor.
struct CpuParts {
    std::uint16_t index;
    Mailbox* mailbox;
    ExitServices* services;
    DeliveryWork* work;
    DeliveryHost* host;
    DeliveryTiming timing;
};

template <backend::VirtualCpu C>
class CpuDriverOf final : public CpuDriver {
public:
    CpuDriverOf(CpuParts const& parts, WaitForRequest wait)
        : index_{parts.index}, mailbox_{parts.mailbox}, services_{parts.services},
          loop_{cpu_, parts.index, *parts.mailbox, *parts.services, wait},
          delivery_{cpu_, *parts.work, *parts.host, parts.timing}
    {
    }
    C& cpu() { return cpu_; }

    boot::StartResult capture(CapturedState const& captured) override { return cpu_.capture(captured); }
    void flush_nested() override { cpu_.flush_nested(); }
    void set_guest_tsc(std::uint64_t value) override { cpu_.set_guest_tsc(value); }
    [[nodiscard]] std::uint64_t tsc_offset() const override { return cpu_.tsc_offset(); }
    void set_tsc_offset(std::uint64_t offset) override { cpu_.set_tsc_offset(offset); }
    void note_nmi() override { cpu_.note_nmi(); }
    [[noreturn]] void run() override
    {
        for (;;) {
            mailbox_->announce_entry();
            if (mailbox_->pending()) {
                mailbox_->withdraw_entry();
                loop_.serve_mailbox();
                continue;
            }
            backend::ExitKind const kind = loop_.step().kind;
            services_->after_exit(index_);
            delivery_.after_exit(kind);
        }
    }

private:
    C cpu_;
    std::uint16_t index_;
    Mailbox* mailbox_;
    ExitServices* services_;
    ExitLoop<C> loop_;
    Delivery<C> delivery_;
};

} // namespace undercroft::core
