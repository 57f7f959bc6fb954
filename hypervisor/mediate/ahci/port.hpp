// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One AHCI port: follows its registers, and reads each command before the device may.
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/mediate/ahci/registers.hpp"
#include "hypervisor/mediate/ahci/table.hpp"
#include "hypervisor/mediate/ata/identify.hpp"
#include "hypervisor/memory/device_writes.hpp"

namespace undercroft::ahci {

using ata::identify_bytes;
using ata::Identity;

/// What the ports of one HBA share.
struct HbaContext {
    core::MmioBus* bus;
    core::GuestMemory const* memory;
    observe::DiskObserver* observer;
    core::Counters* counters;
    LargeTable* large_table;
    std::uint8_t controller;
    bool verify_tables;         ///< compare a completed command's tables with what was read at issue
    std::uint64_t address_mask; ///< of guest-physical addresses the HBA can form
    std::uint64_t fingerprint_seed;
    std::atomic<bool> capture;               ///< off: commands are checked and followed, but not recorded
    std::atomic<std::uint32_t> busy_ports;   ///< ports with something outstanding
    std::atomic<std::uint16_t> common_flags; ///< record flags of every command: before_os
    std::atomic<memory::DeviceWrites*> device_writes{nullptr}; ///< wants to know what the HBA will write to
};

/// The caller holds lock() around every other call. One DMA rule holds throughout: no register
/// write that would let the HBA touch the sensor's memory is forwarded.
class Port {
public:
    [[nodiscard]] core::Spinlock& lock() { return lock_; }
    void attach(HbaContext& hba, unsigned number);
    /// Reads the state of a port that was used before, or behind our back; commands found
    /// outstanding that were not known are recorded as seen_late.
    void adopt();

    /// Judges a write of the `mask` bits of a 32-bit port register (mask covers whole bytes). Returns the
    /// value to store; bits outside the mask are unspecified.
    [[nodiscard]] std::uint32_t before_write(std::uint32_t reg, std::uint32_t mask, std::uint32_t value);
    /// After the store.
    void after_write(std::uint32_t reg);

    /// HBA reset: everything outstanding is gone and the port is stopped.
    void reset();
    [[nodiscard]] std::uint32_t outstanding() const { return outstanding_; }
    /// What the HBA writes to without a command: the command list's byte counts and received FISes. Takes no lock.
    void standing_targets(memory::RangeVisitor& targets) const;

private:
    struct Slot {
        std::uint64_t fingerprint;
        std::uint32_t entries;
    };
    /// What the entries of a PRDT add up to.
    struct Targets {
        std::uint64_t bytes = 0;
        bool touch_sensor = false;
        bool well_formed = true;
    };
    enum class Verdict : std::uint8_t { forward, refuse };

    [[nodiscard]] std::uint32_t load(std::uint32_t reg) const;
    void count(wire::CounterId id, std::uint64_t n = 1) const { hba_->counters->add(id, n); }
    void warn(std::uint64_t& times, std::string_view what, unsigned slot);
    void set_outstanding(std::uint32_t slots);
    void read_addresses();

    std::uint32_t judge_base(std::uint32_t reg, std::uint32_t mask, std::uint32_t value);
    std::uint32_t judge_cmd(std::uint32_t mask, std::uint32_t value);
    std::uint32_t judge_ci(std::uint32_t value);
    [[nodiscard]] bool start();
    void forget();
    void judge_sctl(std::uint32_t mask, std::uint32_t value);

    std::uint32_t issue(std::uint32_t slots, std::uint16_t flags);
    Verdict issue_slot(unsigned slot, std::uint16_t flags);
    Verdict issue_with(unsigned slot, CommandHeader const& header, std::span<PrdtEntry> room, std::uint16_t flags);
    [[nodiscard]] Targets judge_targets(CommandTable const& table) const;
    Verdict refuse(unsigned slot, std::string_view why);
    void count_command(Command const& command, CommandHeader const& header) const;
    void record(Command const& command, CommandTable const& table, std::uint16_t flags);
    void record_trim(Command const& command, CommandTable const& table, std::uint16_t flags);
    void follow(unsigned slot, CommandHeader const& header, Command const& command, CommandTable const& table);

    // What the HBA will write to (port_targets.cpp)
    void announce(unsigned slot, Command const& command, CommandTable const& table);
    void announce_end(std::uint32_t slots);
    void announce_standing();
    [[nodiscard]] std::uint64_t fis_bytes() const
    {
        return fis_switching_ ? received_fis_switched_bytes : received_fis_bytes;
    }

    void settle(bool compare);
    /// Before a write that reuses slots: finds what has ended, without looking at the tables. Returns PxCI.
    std::uint32_t settle_unseen();
    void settle_done(std::uint32_t done, bool compare);
    void finish_identify();

    core::Spinlock lock_;
    HbaContext* hba_ = nullptr;
    TableReader reader_;
    Gpa received_fis_;
    std::uint32_t registers_ = 0; ///< offset of this port's registers
    std::uint32_t outstanding_ = 0, queued_ = 0, active_written_ = 0;
    std::uint32_t announced_ = 0; ///< slots that the HBA may write for, with tickets
    /// As standing_targets() says them; 0 bytes: none.
    struct Standing {
        std::atomic<std::uint64_t> begin{0}, bytes{0};
    };
    Standing standing_list_, standing_fis_;
    bool started_ = false, receives_fis_ = false, fis_switching_ = false;
    std::uint16_t source_ = 0;
    Identity identity_;
    bool identified_ = false;
    static constexpr unsigned no_slot = hba::max_slots;
    unsigned identify_slot_ = no_slot;
    std::array<observe::Extent, 8> identify_data_{};
    unsigned identify_extents_ = 0;
    std::uint64_t warned_refused_ = 0, warned_table_ = 0, warned_changed_ = 0;
    std::array<Slot, hba::max_slots> slots_{};
    std::array<memory::WriteTicket, hba::max_slots> tickets_{}; ///< of announced_ slots
    std::array<PrdtEntry, 256> entries_{};
};

} // namespace undercroft::ahci
