// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ahci/mediator.hpp"

#include "base/width.hpp"

namespace undercroft::ahci {
namespace {

/// All bits set: what a bus answers when nobody is there.
constexpr std::uint32_t nobody = 0xffffffff;

} // namespace

AhciMediator::AhciMediator(std::uint8_t controller, std::uint32_t register_bytes, core::MmioBus& bus,
                           core::GuestMemory const& memory, observe::DiskObserver& observer, core::Counters& counters,
                           LargeTable& large_table, Options options)
    : hba_{.bus = &bus,
           .memory = &memory,
           .observer = &observer,
           .counters = &counters,
           .large_table = &large_table,
           .controller = controller,
           .verify_tables = options.verify_tables,
           .address_mask = ~std::uint64_t{0},
           .fingerprint_seed = options.fingerprint_seed,
           .capture = true,
           .busy_ports = 0,
           .common_flags = 0},
      register_bytes_{register_bytes}
{
    for (unsigned i = 0; i < ports_.size(); ++i)
        ports_[i].attach(hba_, i);
}

void AhciMediator::adopt()
{
    core::SpinGuard const guard{global_lock_};
    auto const cap = static_cast<std::uint32_t>(hba_.bus->load(hba::cap, 4));
    auto const ports = static_cast<std::uint32_t>(hba_.bus->load(hba::pi, 4));
    implemented_ = cap == nobody && ports == nobody ? 0 : ports;
    hba_.address_mask = (cap & hba::cap_64_bit) != 0 ? ~std::uint64_t{0} : 0xffffffffU;
    for (unsigned i = 0; i < ports_.size(); ++i) {
        if (port_at(hba::first_port + i * hba::port_bytes) == nullptr)
            continue;
        core::SpinGuard const port_guard{ports_[i].lock()};
        ports_[i].adopt();
    }
}

void AhciMediator::set_before_os(bool on)
{
    hba_.common_flags.store(on ? wire::record_flag::before_os : 0, std::memory_order_relaxed);
}

/// Null: not in an implemented port's registers.
Port* AhciMediator::port_at(std::uint64_t offset)
{
    if (offset < hba::first_port || offset + 4 > register_bytes_)
        return nullptr;
    std::uint64_t const number = (offset - hba::first_port) / hba::port_bytes;
    return number < ports_.size() && (implemented_.load(std::memory_order_relaxed) >> number & 1U) != 0
               ? &ports_[number]
               : nullptr;
}

std::uint64_t AhciMediator::read(std::uint64_t offset, unsigned width)
{
    if (hba_.held_ports.load(std::memory_order_relaxed) != 0)
        return read_with_held(offset, width);
    return hba_.bus->load(offset, width);
}

/// PxCI as the guest has set it. At most one PxCI lies in eight bytes.
std::uint64_t AhciMediator::read_with_held(std::uint64_t offset, unsigned width)
{
    for (std::uint64_t at = offset & ~std::uint64_t{3}; at < offset + width; at += 4) {
        Port* const port = at % hba::port_bytes == px::ci ? port_at(at) : nullptr;
        if (port == nullptr)
            continue;
        core::SpinGuard const guard{port->lock()};
        std::uint64_t const held = port->held();
        return hba_.bus->load(offset, width) | (at >= offset ? held << (at - offset) * 8 : held >> (offset - at) * 8);
    }
    return hba_.bus->load(offset, width);
}

void AhciMediator::set_hold(bool on)
{
    hba_.hold_writes.store(on, std::memory_order_relaxed);
    // With the lock taken once, no CPU is still forwarding what it judged before.
    for (Port& port : ports_) {
        core::SpinGuard const guard{port.lock()};
        if (!on)
            port.release_held();
    }
}

void AhciMediator::write(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    if (width != 4 || offset % 4 != 0) {
        hba_.counters->add(wire::CounterId::ahci_odd_access);
        if (offset % width != 0) {
            write_split(offset, width, value);
            return;
        }
    }
    if (offset >= hba::first_port)
        write_port(offset, width, value);
    else
        write_global(offset, width, value);
}

/// An unaligned write reaches the registers as the aligned ones that it is made of.
void AhciMediator::write_split(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    while (width != 0) {
        unsigned part = 4;
        while (part > width || offset % part != 0)
            part /= 2;
        write(offset, part, value & width_mask(part));
        offset += part;
        width -= part;
        value >>= part * 8;
    }
}

void AhciMediator::write_port(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    Port* const port = port_at(offset & ~std::uint64_t{3});
    if (port == nullptr) {
        hba_.bus->store(offset, width, value);
        return;
    }
    auto const reg = static_cast<std::uint32_t>(offset % hba::port_bytes);
    core::SpinGuard const guard{port->lock()};
    if (width == 4) {
        hba_.bus->store(offset, 4, port->before_write(reg, nobody, static_cast<std::uint32_t>(value)));
        port->after_write(reg);
        return;
    }
    // One or two registers, in part or whole: each is judged, the store is made as one.
    std::uint32_t const first = reg & ~3U;
    unsigned const shift = (reg & 3U) * 8;
    std::uint64_t const mask = width_mask(width) << shift;
    std::uint64_t judged =
        port->before_write(first, static_cast<std::uint32_t>(mask), static_cast<std::uint32_t>(value << shift));
    if (width == 8)
        judged |=
            static_cast<std::uint64_t>(port->before_write(first + 4, nobody, static_cast<std::uint32_t>(value >> 32)))
            << 32;
    hba_.bus->store(offset, width, judged >> shift & width_mask(width));
    port->after_write(first);
    if (width == 8)
        port->after_write(first + 4);
}

void AhciMediator::write_global(std::uint64_t offset, unsigned width, std::uint64_t value)
{
    hba_.bus->store(offset, width, value);
    auto const touches = [&](std::uint32_t reg) { return offset < reg + 4 && reg < offset + width; };
    if (touches(hba::pi) || touches(hba::cap)) { // writable once, by firmware
        adopt();
        return;
    }
    bool const reset =
        offset <= hba::ghc && touches(hba::ghc) && (value >> (hba::ghc - offset) * 8 & hba::ghc_reset) != 0;
    if (!reset)
        return;
    core::SpinGuard const guard{global_lock_};
    hba_.counters->add(wire::CounterId::ahci_hba_resets);
    for (Port& port : ports_) {
        core::SpinGuard const port_guard{port.lock()};
        port.reset();
    }
}

void AhciMediator::index_data_write(unsigned offset, unsigned width, std::uint32_t value)
{
    core::SpinGuard const guard{index_lock_};
    if (offset < 4) {
        std::uint32_t const mask = static_cast<std::uint32_t>(width_mask(width)) << offset * 8;
        index_ = ((index_ & ~mask) | (value << offset * 8 & mask)) & ~3U;
    } else if (offset < 8 && std::uint64_t{index_} + 4 <= register_bytes_ && offset + width <= 8) {
        write(index_ + (offset - 4), width, value & width_mask(width));
    }
}

std::uint32_t AhciMediator::index_data_read(unsigned offset, unsigned width)
{
    core::SpinGuard const guard{index_lock_};
    std::uint64_t answer = nobody;
    if (offset < 4)
        answer = index_ >> offset * 8;
    else if (offset < 8 && std::uint64_t{index_} + 4 <= register_bytes_ && offset + width <= 8)
        answer = read(index_ + (offset - 4), width);
    return static_cast<std::uint32_t>(answer & width_mask(width));
}

std::uint32_t AhciMediator::outstanding(unsigned port)
{
    if (port >= ports_.size())
        return 0;
    core::SpinGuard const guard{ports_[port].lock()};
    return ports_[port].outstanding();
}

std::uint32_t AhciMediator::held(unsigned port)
{
    if (port >= ports_.size())
        return 0;
    core::SpinGuard const guard{ports_[port].lock()};
    return ports_[port].held();
}

} // namespace undercroft::ahci
