// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// One ATA channel with up to two drives and its half of the bus master: follows the registers, and reads each command
// before the device may have it.
#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "hypervisor/core/counters.hpp"
#include "hypervisor/core/guest_memory.hpp"
#include "hypervisor/core/port_io.hpp"
#include "hypervisor/core/port_traps.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/mediate/ata/identify.hpp"
#include "hypervisor/mediate/ide/prd.hpp"
#include "hypervisor/mediate/ide/task_file.hpp"
#include "hypervisor/mediate/ide/transfer.hpp"
#include "hypervisor/memory/device_writes.hpp"

namespace undercroft::ide {

/// What the channels of one controller share.
struct ControllerContext {
    core::PortIo* ports;
    core::PortTraps* traps;
    core::GuestMemory const* memory;
    observe::DiskObserver* observer;
    core::Counters* counters;
    std::uint8_t controller;
    std::atomic<bool> capture;               ///< off: commands are checked and followed, but not recorded
    std::atomic<std::uint32_t> busy;         ///< channels with a command under way
    std::atomic<std::uint16_t> common_flags; ///< record flags of every command: before_os
    std::atomic<memory::DeviceWrites*> device_writes{nullptr}; ///< wants to know what the bus master will write to
};

/// Memory of the sensor's for the table that the bus master really uses.
struct TableMemory {
    PrdTable* table = nullptr;
    std::uint64_t bus_address = 0; ///< as the bus master sees it
};

/// Where the registers are decoded; 0: nowhere.
struct ChannelPorts {
    std::uint16_t command_block = 0;
    std::uint16_t control = 0; ///< the Device Control register itself
    std::uint16_t bus_master = 0;
};

/// The caller holds lock() around every other call. One DMA rule holds throughout: the bus master is started only on a
/// table of the sensor's own in which nothing aims at the sensor's memory. Ports of accesses are absolute, because the
/// guest may reach for the old or the new place while a BAR moves.
class Channel {
public:
    [[nodiscard]] core::Spinlock& lock() { return lock_; }
    void attach(ControllerContext& controller, unsigned number, TableMemory table);
    [[nodiscard]] ChannelPorts const& ports() const { return ports_; }
    /// The registers are now there, all of them trapped but the bus master's status.
    void set_ports(ChannelPorts const& ports);
    /// Reads the state of a channel that was used before.
    void adopt();

    void write_command_block(std::uint16_t base, unsigned offset, unsigned width, std::uint32_t value);
    [[nodiscard]] std::uint32_t read_command_block(std::uint16_t base, unsigned offset, unsigned width);
    void write_control(std::uint16_t port, std::uint8_t value);
    [[nodiscard]] std::uint8_t read_control(std::uint16_t port);
    /// `offset` in this channel's half; whole bytes of the command register, any part of the table register.
    void write_bus_master(std::uint16_t base, unsigned offset, unsigned width, std::uint32_t value);
    [[nodiscard]] std::uint32_t read_bus_master(std::uint16_t base, unsigned offset, unsigned width);

private:
    enum class Phase : std::uint8_t {
        quiet,       ///< no PIO data of interest
        pio_open,    ///< PIO data that is not looked at: the data port does not exit
        pio_out,     ///< written data is captured as it passes
        identify_in, ///< IDENTIFY DEVICE data likewise
    };
    struct Drive {
        ata::Identity identity;
        bool identified = false;
        std::uint16_t multiple = 0; ///< sectors per block of MULTIPLE commands, 0 = not known
    };
    static constexpr std::uint32_t capture_bytes = 0x10000;

    [[nodiscard]] std::uint8_t load(std::uint16_t base, unsigned offset) const;
    void store(std::uint16_t base, unsigned offset, std::uint8_t value) const;
    void count(wire::CounterId id) const { controller_->counters->add(id); }
    void warn(std::uint64_t& times, std::string_view what);
    [[nodiscard]] std::uint16_t source() const;
    [[nodiscard]] Drive& drive() { return drives_[drive_]; }
    [[nodiscard]] std::uint64_t sector_bytes() const { return drives_[drive_].identity.sector_bytes; }

    // Registers (channel.cpp)
    [[nodiscard]] std::uint8_t quiet_status() const;
    void saw_status(std::uint8_t status);
    void set_busy(bool on);
    void set_phase(Phase phase);
    void end_command();
    void reset();

    // Commands (channel_command.cpp)
    void command(std::uint16_t base, std::uint8_t opcode);
    [[nodiscard]] bool can_take(std::uint8_t opcode, std::uint8_t status) const;
    void note_settings(std::uint8_t opcode, TaskFile::Taken const& taken);
    void count_command(std::uint8_t opcode) const;
    void begin(std::uint8_t opcode);
    void record_now(std::uint64_t first_byte, std::uint64_t bytes, observe::ExtentSource& data,
                    std::uint16_t more_flags = 0);
    [[nodiscard]] std::uint64_t medium_bytes() const;

    // PIO data (channel_data.cpp)
    void write_data(std::uint16_t base, unsigned width, std::uint32_t value);
    void write_word(std::uint16_t base, unsigned width, std::uint32_t value);
    [[nodiscard]] bool takes_data();
    void record_captured(std::uint16_t more_flags);
    [[nodiscard]] std::uint32_t read_data(std::uint16_t base, unsigned width);
    void finish_identify();

    // Bus master (channel_dma.cpp)
    void write_bus_master_command(std::uint16_t base, std::uint8_t value);
    [[nodiscard]] bool start_dma(std::uint16_t base);
    void announce();
    void announce_end();
    void record_dma();
    void record_dma_write();
    void record_trim();

    core::Spinlock lock_;
    ControllerContext* controller_ = nullptr;
    unsigned number_ = 0;
    ChannelPorts ports_;
    TaskFile task_file_;
    std::uint8_t control_ = 0; ///< last written to Device Control
    bool control_known_ = false;
    std::array<Drive, 2> drives_{};
    bool busy_ = false;

    // The command under way.
    unsigned drive_ = 0;
    ata::Command command_;
    Phase phase_ = Phase::quiet;
    std::uint64_t done_ = 0;       ///< bytes of the medium recorded so far
    std::uint32_t captured_ = 0;   ///< bytes in capture_
    std::uint32_t block_ = 0;      ///< captured_ at which the device takes the block
    bool dma_pending_ = false;     ///< taken by the device, waits for the bus master or works with it
    bool header_recorded_ = false; ///< of a read or trim by DMA
    bool announced_ = false;       ///< the bus master may write to what the table says
    memory::WriteTicket ticket_ = 0;

    TableMemory table_;
    PrdCopy copy_;                  ///< what is in table_
    std::uint32_t guest_table_ = 0; ///< what the guest wrote to the table register
    std::uint64_t warned_refused_ = 0, warned_table_ = 0, warned_not_ready_ = 0, warned_identify_ = 0;
    alignas(64) std::array<std::byte, capture_bytes> capture_{};
};

} // namespace undercroft::ide
