// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Every counter has a permanent id and a name; totals ride along in status datagrams.
#include <cstdint>

namespace undercroft::wire {

// X(id, name, what it counts)
#define UNDERCROFT_COUNTERS(X)                                                                                         \
    X(1, records_made, "records made, dropped ones included")                                                          \
    X(2, records_dropped, "records dropped because the buffer was full (policy drop)")                                 \
    X(3, content_bytes_captured, "bytes of written data put into the buffer")                                          \
    X(4, slots_closed, "slots closed for sending")                                                                     \
    X(5, slots_freed, "slots acknowledged and freed")                                                                  \
    X(6, hold_waits, "commands that waited for buffer space (policy hold)")                                            \
    X(7, hold_wait_ns, "time spent in those waits")                                                                    \
    X(8, capture_switched_off, "times capture was switched off")                                                       \
    X(9, capture_switched_on, "times capture was switched on again")                                                   \
    X(16, datagrams_sent, "datagrams handed to the network stack")                                                     \
    X(17, datagrams_resent, "of these, retransmissions")                                                               \
    X(18, datagrams_refused, "datagrams the network stack or NIC refused (kept, sent again later)")                    \
    X(19, acks_accepted, "acknowledgements accepted")                                                                  \
    X(20, acks_bad_seal, "datagrams received whose tag did not verify")                                                \
    X(21, acks_malformed, "datagrams received with bad fields")                                                        \
    X(22, nic_rx_dropped, "frames the NIC dropped for want of descriptors")                                            \
    X(23, sntp_answers, "SNTP answers accepted")                                                                       \
    X(24, sntp_rejected, "SNTP answers rejected")                                                                      \
    X(25, sntp_offset_abs_ns, "absolute clock offset at the last accepted answer")                                     \
    X(26, clock_steps, "times the clock was stepped rather than slewed")                                               \
    X(27, frames_unusable, "frames received that no protocol of the sensor can use (length, no memory)")               \
    X(28, network_asserts, "assertions of the network stack that failed (it went on)")                                 \
    X(32, exits_total, "VM exits")                                                                                     \
    X(33, exits_nested_fault, "nested page faults")                                                                    \
    X(34, exits_io, "port accesses")                                                                                   \
    X(35, exits_msr, "MSR accesses")                                                                                   \
    X(36, exits_interrupt, "interrupt-window or timer exits")                                                          \
    X(37, exits_halt, "HLT exits")                                                                                     \
    X(38, exits_hypercall, "hypercalls, refused ones included")                                                        \
    X(39, exits_init_sipi, "INIT and SIPI emulated")                                                                   \
    X(40, exits_unknown, "exits nobody asked for")                                                                     \
    X(41, decode_unknown, "instructions that could not be emulated and were single-stepped")                           \
    X(42, hypercalls_refused, "hypercalls answered with #UD")                                                          \
    X(43, sensor_memory_touched, "guest accesses to the sensor's memory or NIC")                                       \
    X(44, tsc_in_sensor, "TSC ticks spent in the sensor")                                                              \
    X(45, cpus_controlled, "CPUs running under the sensor")                                                            \
    X(46, pci_hidden_accesses, "configuration accesses to the hidden NIC")                                             \
    X(47, bar_moves, "moves of watched BARs")                                                                          \
    X(48, pci_writes_refused, "configuration writes refused or changed: ECAM base, bridges above the hidden NIC")      \
    X(49, msr_writes_refused, "MSR writes refused: local APIC base, routing of physical addresses")                    \
    X(50, run_ahead_merged, "device accesses emulated without an exit of their own")                                   \
    X(51, exits_cpuid, "CPUID exits (Intel)")                                                                          \
    X(52, exits_protection_fault, "#GP of the guest (AMD)")                                                            \
    X(53, controllers_not_watched,                                                                                     \
      "disk controllers that are not watched: more than there is room for, or ports taken")                            \
    X(64, ahci_commands_read, "AHCI read commands")                                                                    \
    X(65, ahci_commands_write, "AHCI write commands")                                                                  \
    X(66, ahci_commands_flush, "AHCI flush commands")                                                                  \
    X(67, ahci_commands_trim, "AHCI DATA SET MANAGEMENT trim commands")                                                \
    X(68, ahci_commands_identify, "AHCI IDENTIFY DEVICE commands")                                                     \
    X(69, ahci_commands_packet, "AHCI ATAPI commands, passed through")                                                 \
    X(70, ahci_commands_other, "AHCI commands of other known kinds, passed through")                                   \
    X(71, ahci_commands_unknown, "AHCI commands of unknown opcode, passed through")                                    \
    X(72, ahci_refused_dma, "AHCI commands or registers refused because they aim at the sensor's memory")              \
    X(73, ahci_bad_table, "AHCI commands whose tables could not be read or did not add up")                            \
    X(74, ahci_table_changed, "AHCI tables found changed between issue and completion")                                \
    X(75, ahci_port_resets, "AHCI port stops, COMRESETs")                                                              \
    X(76, ahci_hba_resets, "AHCI HBA resets")                                                                          \
    X(77, ahci_blocks_unreadable, "written blocks outside guest RAM, recorded without entropy")                        \
    X(78, ahci_seen_late, "AHCI commands found after issue")                                                           \
    X(79, ahci_slot_reissued, "AHCI command issued in a slot that was still outstanding")                              \
    X(80, ahci_odd_access, "AHCI register writes of unusual width or alignment, passed through")                       \
    X(81, ahci_behind_multiplier, "AHCI commands to a device behind a port multiplier, recorded under its port")       \
    X(82, ahci_unknown_geometry, "AHCI commands not recorded: CHS address without a known geometry")                   \
    X(96, ide_commands_read, "IDE read commands")                                                                      \
    X(97, ide_commands_write, "IDE write commands")                                                                    \
    X(98, ide_commands_flush, "IDE flush commands")                                                                    \
    X(99, ide_commands_trim, "IDE DATA SET MANAGEMENT trim commands")                                                  \
    X(100, ide_commands_identify, "IDE IDENTIFY DEVICE commands")                                                      \
    X(101, ide_commands_packet, "IDE ATAPI commands, passed through")                                                  \
    X(102, ide_commands_other, "IDE commands of other known kinds, passed through")                                    \
    X(103, ide_commands_unknown, "IDE commands of unknown opcode, passed through")                                     \
    X(104, ide_commands_queued, "IDE commands of the queued feature set, recorded without their data")                 \
    X(105, ide_commands_not_ready, "IDE commands written while the device could take none, not forwarded")             \
    X(106, ide_refused_dma, "IDE bus-master starts refused because they aim at the sensor's memory")                   \
    X(107, ide_bad_table, "IDE bus-master tables that could not be read or did not add up")                            \
    X(108, ide_dma_restarted, "IDE bus-master transfers started again within one command, recorded again")             \
    X(109, ide_resets, "IDE software resets and DEVICE RESET commands")                                                \
    X(110, ide_seen_late, "IDE commands found under way, and written blocks recorded after the device had them")       \
    X(111, ide_write_abandoned, "IDE writes by PIO that ended before all their data came")                             \
    X(112, ide_registers_stale, "IDE commands with address registers not written, or read back different")             \
    X(113, ide_odd_access, "IDE register accesses of unusual width or at a wrong time")                                \
    X(114, ide_unknown_geometry, "IDE commands not recorded: CHS address without a known geometry")                    \
    X(128, memory_records, "memory stream: records made, dropped ones included")                                       \
    X(129, memory_records_dropped, "memory stream: records dropped because its buffer was full")                       \
    X(130, memory_content_bytes, "memory stream: bytes of pages put into its buffer")                                  \
    X(131, memory_slots_closed, "memory stream: slots closed for sending")                                             \
    X(132, memory_slots_freed, "memory stream: slots acknowledged and freed")                                          \
    X(133, memory_faults, "nested faults that the memory monitor took")                                                \
    X(134, memory_flushes, "times that all CPUs dropped their translations for the memory monitor")                    \
    X(135, commands_accepted, "commands of the collector carried out")                                                 \
    X(136, commands_refused, "commands of the collector with an old number or a bad length")

enum class CounterId : std::uint16_t {
#define X(id, name, text) name = id, // NOLINT(bugprone-macro-parentheses): a declared name takes none
    UNDERCROFT_COUNTERS(X)
#undef X
};

} // namespace undercroft::wire
