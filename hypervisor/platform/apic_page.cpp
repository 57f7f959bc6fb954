// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/apic_page.hpp"

namespace undercroft::platform {
namespace {

// Intel SDM vol. 3A, table 11-1.
constexpr std::uint64_t logical_destination = 0xd0, destination_format = 0xe0, icr_low = 0x300, icr_high = 0x310;

} // namespace

std::uint64_t ApicPage::read(std::uint64_t offset, unsigned width)
{
    return apic_->load(offset, width);
}

void ApicPage::write(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    bool const whole_registers = offset % 4 == 0 && width >= 4;
    if (whole_registers) {
        for (unsigned done = 0; done < width; done += 4)
            write_register(offset + done, static_cast<std::uint32_t>(value >> (8 * done)));
        return;
    }
    bool const touches_icr = offset < icr_low + 4 && offset + width > icr_low;
    if (!touches_icr)
        apic_->store(offset, width, value);
}

void ApicPage::write_register(std::uint64_t offset, std::uint32_t value)
{
    if (offset == icr_low) {
        auto const high = static_cast<std::uint32_t>(apic_->load(icr_high, 4));
        unsigned const source = current_cpu_();
        Ipi const ipi = router_->judge(source, decode_xapic_icr(value, high));
        if (ipi.action == Ipi::Action::pass)
            apic_->store(offset, 4, value);
        else
            sink_->deliver(source, ipi);
        return;
    }
    apic_->store(offset, 4, value);
    if (offset == logical_destination || offset == destination_format)
        learn_logical();
}

void ApicPage::learn_logical()
{
    router_->set_logical(current_cpu_(), static_cast<std::uint32_t>(apic_->load(logical_destination, 4)),
                         static_cast<std::uint32_t>(apic_->load(destination_format, 4)));
}

} // namespace undercroft::platform
