// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One AHCI controller. Its register pages are mapped read-only into the guest, whose writes arrive here.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/mediate/ahci/port.hpp"

namespace undercroft::ahci {

struct Options {
    bool verify_tables = true;          ///< look again at the tables of completed commands
    std::uint64_t fingerprint_seed = 0; ///< any number that the guest does not know
};

/// Some 170 KiB: it belongs into static memory.
class AhciMediator final : public core::MmioHandler {
public:
    /// `register_bytes` is the size of the HBA's memory BAR. Everything referred to outlives the mediator;
    /// `large_table` may be shared by all controllers.
    AhciMediator(std::uint8_t controller, std::uint32_t register_bytes, core::MmioBus& bus,
                 core::GuestMemory const& memory, observe::DiskObserver& observer, core::Counters& counters,
                 LargeTable& large_table, Options options = {});

    /// Reads the controller's state: at the start, after its BAR was moved or enabled, and after the
    /// guest ran an instruction with the page open. Known commands stay known.
    void adopt();
    /// Off: commands are still checked and followed, but not recorded.
    void set_capture(bool on) { hba_.capture.store(on, std::memory_order_relaxed); }
    /// Sets record_flag::before_os on what follows.
    void set_before_os(bool on);
    /// Who wants to know which guest memory the HBA will write to, from now on.
    void set_device_writes(memory::DeviceWrites& writes)
    {
        hba_.device_writes.store(&writes, std::memory_order_release);
    }
    /// Takes no lock.
    void standing_targets(memory::RangeVisitor& targets) const
    {
        for (Port const& port : ports_)
            port.standing_targets(targets);
    }

    [[nodiscard]] std::uint64_t read(std::uint64_t offset, unsigned width) override;
    void write(std::uint64_t offset, unsigned width, std::uint64_t value) override;

    /// The index/data register pair in an I/O BAR (SATA capability): offset 0 is the index register,
    /// 4 the data register; width is 1, 2 or 4.
    void index_data_write(unsigned offset, unsigned width, std::uint32_t value);
    [[nodiscard]] std::uint32_t index_data_read(unsigned offset, unsigned width);

    /// Slots of a port that were issued and not yet seen to end.
    [[nodiscard]] std::uint32_t outstanding(unsigned port);
    /// Whether any port has such slots; takes no lock.
    [[nodiscard]] bool any_outstanding() const { return hba_.busy_ports.load(std::memory_order_relaxed) != 0; }

private:
    void write_split(std::uint64_t offset, unsigned width, std::uint64_t value);
    void write_port(std::uint64_t offset, unsigned width, std::uint64_t value);
    void write_global(std::uint64_t offset, unsigned width, std::uint64_t value);
    [[nodiscard]] Port* port_at(std::uint64_t offset);

    HbaContext hba_;
    std::uint32_t register_bytes_;
    std::atomic<std::uint32_t> implemented_{0}; ///< PI
    core::Spinlock global_lock_;                ///< taken before a port's lock, never after
    core::Spinlock index_lock_;                 ///< taken before all others
    std::uint32_t index_ = 0;
    std::array<Port, hba::max_ports> ports_;
};

} // namespace undercroft::ahci
