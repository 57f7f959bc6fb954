// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/pci_mediator.hpp"

#include "base/width.hpp"
#include "hypervisor/core/log.hpp"

namespace undercroft::platform {
namespace {

using wire::CounterId;

/// PCIEXBAR of Intel's host bridges (q35 and its successors): device 0, 60h, 64 bits.
constexpr std::uint16_t ecam_base_register = 0x60;

bool overlaps(std::uint16_t offset, unsigned width, unsigned first, unsigned end)
{
    return offset < end && offset + width > first;
}

/// Cuts an access into pieces that stay inside one dword and are naturally aligned; usually there is one.
template <typename Visit>
void for_each_piece(std::uint64_t offset, unsigned width, Visit visit)
{
    for (unsigned done = 0; done < width;) {
        std::uint64_t const at = offset + done;
        unsigned const left = width - done;
        unsigned const piece = left >= 4 && at % 4 == 0 ? 4 : left >= 2 && at % 2 == 0 ? 2 : 1;
        visit(at, piece, 8 * done);
        done += piece;
    }
}

} // namespace

Bdf EcamRegion::function_at(std::uint64_t offset) const
{
    return {static_cast<std::uint8_t>(offset >> 20), static_cast<std::uint8_t>(offset >> 15 & 31),
            static_cast<std::uint8_t>(offset >> 12 & 7), ecam_->segment().segment};
}

std::uint64_t EcamRegion::read(std::uint64_t offset, unsigned width)
{
    std::uint64_t value = 0;
    for_each_piece(offset, width, [&](std::uint64_t at, unsigned piece, unsigned shift) {
        value |= std::uint64_t{mediator_->ecam_read(function_at(at), static_cast<std::uint16_t>(at & 0xfff), piece)}
                 << shift;
    });
    return value;
}

void EcamRegion::write(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    for_each_piece(offset, width, [&](std::uint64_t at, unsigned piece, unsigned shift) {
        mediator_->ecam_write(function_at(at), static_cast<std::uint16_t>(at & 0xfff), piece,
                              static_cast<std::uint32_t>(value >> shift) &
                                  static_cast<std::uint32_t>(width_mask(piece)));
    });
}

std::uint32_t PciMediator::port_read(std::uint16_t port, unsigned width)
{
    constexpr std::uint16_t end = pci_data_port + 4;
    if (port == pci_address_port && width == 4) {
        core::SpinGuard guard{lock_};
        return ports_->latch(latch_); // reserved bits as hardware has them
    }
    if (port >= pci_data_port && port + width <= end)
        return data_read(port, width);
    bool const mixed = port + width > pci_data_port && port < end;
    if (!mixed)
        return ports_->port_read(port, width);
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
        auto const byte = static_cast<std::uint16_t>(port + i);
        bool const data = byte >= pci_data_port && byte < end;
        value |= (data ? data_read(byte, 1) : ports_->port_read(byte, 1)) << (8 * i);
    }
    return value;
}

void PciMediator::port_write(std::uint16_t port, unsigned width, std::uint32_t value)
{
    constexpr std::uint16_t end = pci_data_port + 4;
    if (port == pci_address_port && width == 4) {
        core::SpinGuard guard{lock_};
        latch_ = value;
        return;
    }
    if (port >= pci_data_port && port + width <= end)
        return data_write(port, width, value);
    bool const mixed = port + width > pci_data_port && port < end;
    if (!mixed)
        return ports_->port_write(port, width, value);
    for (unsigned i = 0; i < width; ++i) {
        auto const byte = static_cast<std::uint16_t>(port + i);
        std::uint32_t const part = value >> (8 * i) & 0xff;
        if (byte >= pci_data_port && byte < end)
            data_write(byte, 1, part);
        else
            ports_->port_write(byte, 1, part);
    }
}

namespace {

/// What the latch addresses. AMD's extension (bits 27:24 = offset 11:8) is taken as an alias of the low offset for
/// judging, because it is ignored unless switched on; the access itself is repeated with the guest's own latch.
struct Latched {
    bool enabled;
    Bdf function;
    std::uint16_t offset;
};

Latched decode_latch(std::uint32_t latch, std::uint16_t port)
{
    return {(latch >> 31) != 0,
            {static_cast<std::uint8_t>(latch >> 16), static_cast<std::uint8_t>(latch >> 11 & 31),
             static_cast<std::uint8_t>(latch >> 8 & 7)},
            static_cast<std::uint16_t>((latch & 0xfc) + (port & 3))};
}

} // namespace

std::uint32_t PciMediator::data_read(std::uint16_t port, unsigned width)
{
    core::SpinGuard guard{lock_};
    Latched const to = decode_latch(latch_, port);
    Tracked const* const tracked = to.enabled ? find(to.function) : nullptr;
    if (tracked != nullptr && tracked->role == Role::hidden) {
        counters_->add(CounterId::pci_hidden_accesses);
        return hidden_value(to.offset, width);
    }
    return ports_->raw_read(latch_, port & 3, width);
}

void PciMediator::data_write(std::uint16_t port, unsigned width, std::uint32_t value)
{
    core::SpinGuard guard{lock_};
    Latched const to = decode_latch(latch_, port);
    Write const write{to.function, to.offset, width, value, true, latch_};
    if (to.enabled)
        judge(write);
    else
        perform(write);
}

std::uint32_t PciMediator::ecam_read(Bdf function, std::uint16_t offset, unsigned width)
{
    core::SpinGuard guard{lock_};
    Tracked const* const tracked = find(function);
    if (tracked != nullptr && tracked->role == Role::hidden) {
        counters_->add(CounterId::pci_hidden_accesses);
        return hidden_value(offset, width);
    }
    return config(function.segment).read(function, offset, width);
}

void PciMediator::ecam_write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value)
{
    core::SpinGuard guard{lock_};
    judge({function, offset, width, value, false, 0});
}

std::uint32_t PciMediator::hidden_value(std::uint16_t offset, unsigned width) const
{
    if (!placeholder_)
        return static_cast<std::uint32_t>(width_mask(width));
    // Identity of a device that no driver claims: unassigned class, no BARs, no capabilities, other functions follow.
    std::uint8_t bytes[16] = {static_cast<std::uint8_t>(hidden_vendor_), static_cast<std::uint8_t>(hidden_vendor_ >> 8),
                              0xfe, 0xff};
    bytes[0x0b] = 0xff;
    bytes[pci_reg::header_type] = 0x80;
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i)
        value |= offset + i < sizeof(bytes) ? std::uint32_t{bytes[offset + i]} << (8 * i) : 0;
    return value;
}

void PciMediator::judge(Write write)
{
    Tracked* const tracked = find(write.function);
    if (tracked == nullptr)
        return perform(write);
    switch (tracked->role) {
    case Role::hidden:
        counters_->add(CounterId::pci_hidden_accesses);
        return;
    case Role::host_bridge:
        if (overlaps(write.offset, write.width, ecam_base_register, ecam_base_register + 8U))
            return refuse(write, "ECAM base");
        return perform(write);
    case Role::bridge:
        return judge_bridge(*tracked, write);
    case Role::storage:
        if (!tracked->bars.concerns(write.offset, write.width))
            return perform(write);
        PciConfig& access = config(write.function.segment);
        if (!tracked->bars.before_write(access, write.function, write.offset, write.width, write.value, *events_))
            return refuse(write, "registers of a disk controller over others");
        perform(write);
        tracked->bars.after_write(access, write.function, *events_, *counters_);
        return;
    }
}

void PciMediator::judge_bridge(Tracked& bridge, Write const& write)
{
    Write allowed = write;
    if (bridge.above_card) {
        bool changed = false;
        auto const value = bridge.guard.judge(config(write.function.segment), write.function, write.offset, write.width,
                                              write.value, changed);
        if (!value)
            return refuse(write, "window of the bridge above the sensor's card");
        if (changed)
            refuse(write, "bits of the bridge above the sensor's card");
        allowed.value = *value;
    }
    if (overlaps(write.offset, write.width, pci_reg::primary_bus, pci_reg::subordinate_bus + 1U))
        return renumber(bridge, allowed);
    perform(allowed);
}

void PciMediator::perform(Write const& write)
{
    if (write.raw)
        ports_->raw_write(write.address, write.offset & 3, write.width, write.value);
    else
        config(write.function.segment).write(write.function, write.offset, write.width, write.value);
}

void PciMediator::refuse(Write const& write, char const* what)
{
    counters_->add(CounterId::pci_writes_refused);
    if (counters_->get(CounterId::pci_writes_refused) > 16)
        return; // the counter goes on
    core::log(core::LogLevel::warning, core::str("PCI: refused a write to "), core::str(what), core::str(": bus "),
              core::dec(write.function.bus), core::str(" device "), core::dec(write.function.device),
              core::str(" offset "), core::hex(write.offset), core::str(" value "), core::hex(write.value));
}

} // namespace undercroft::platform
