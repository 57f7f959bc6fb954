// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The collector's own counters: every datagram, slot and record that is not stored has a name here.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace undercroft::collector {

// X(name, is it a reject, what it counts)
#define UNDERCROFT_COLLECTOR_COUNTERS(X)                                                                               \
    X(datagrams_received, false, "datagrams received")                                                                 \
    X(bytes_received, false, "bytes of these")                                                                         \
    X(hellos_received, false, "authentic hello datagrams")                                                             \
    X(statuses_received, false, "authentic status datagrams")                                                          \
    X(fragments_received, false, "authentic data datagrams")                                                           \
    X(fragments_duplicate, false, "fragments that had arrived before")                                                 \
    X(acks_sent, false, "acknowledgements sent")                                                                       \
    X(commits, false, "group commits of the journal")                                                                  \
    X(slots_stored, false, "slots put into the journal")                                                               \
    X(records_stored, false, "records of these")                                                                       \
    X(content_bytes_received, false, "content bytes of these")                                                         \
    X(gaps, false, "gaps in the sequence numbers")                                                                     \
    X(records_missing_at_sensor, false, "records missing: dropped in the sensor's buffer")                             \
    X(records_missing_in_transit, false, "records missing: freed by the sensor before this store had them")            \
    X(slots_skipped, false, "slots the sensor no longer had")                                                          \
    X(kernel_dropped, true, "datagrams the kernel dropped because the socket buffer was full")                         \
    X(datagram_truncated, true, "larger than any datagram of ours")                                                    \
    X(datagram_too_short, true, "shorter than header and tag")                                                         \
    X(bad_magic, true, "not our protocol")                                                                             \
    X(wrong_version, true, "another version of the protocol")                                                          \
    X(wrong_size, true, "size field does not fit the datagram")                                                        \
    X(wrong_type, true, "a type that sensors do not send")                                                             \
    X(wrong_instance, true, "instance field not 0")                                                                    \
    X(machine_not_wanted, true, "a machine excluded by --machine")                                                     \
    X(machine_without_key, true, "a machine that is not in the key file")                                              \
    X(bad_tag, true, "seal does not verify: wrong key or tampered with")                                               \
    X(boots_refused, true, "more starts of sensors than one run of the collector keeps apart")                         \
    X(hello_malformed, true, "hello with bad fields")                                                                  \
    X(hello_stale, true, "hello older than one already seen")                                                          \
    X(commands_sent, false, "command datagrams sent to sensors, repeated ones included")                               \
    X(answers_received, false, "authentic answers to commands")                                                        \
    X(answer_malformed, true, "answer with bad fields")                                                                \
    X(status_malformed, true, "status with bad fields")                                                                \
    X(status_stale, true, "status older than one already seen")                                                        \
    X(data_malformed, true, "data with bad fields")                                                                    \
    X(stream_unsupported, true, "data of a stream this collector does not store")                                      \
    X(data_inconsistent, true, "fragment that contradicts others of its slot")                                         \
    X(data_beyond_window, true, "fragment too far ahead of the first missing slot (sent again later)")                 \
    X(data_without_memory, true, "fragment refused because the memory limit is reached (sent again later)")            \
    X(data_disk_full, true, "fragment refused while the store cannot be written (sent again later)")                   \
    X(slots_refused, true, "whole slots whose records do not add up; stored as a gap")                                 \
    X(slots_bad_sequence, true, "slots whose sequence numbers run backwards or too far ahead")                         \
    X(ack_send_failed, true, "acknowledgements the socket refused (sent again later)")                                 \
    X(store_errors, true, "failed attempts to write to the store (tried again)")

enum class Counter : std::uint8_t {
#define X(name, reject, text) name,
    UNDERCROFT_COLLECTOR_COUNTERS(X)
#undef X
        end_
};
inline constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::end_);

struct CounterInfo {
    std::string_view name;
    bool reject;
    std::string_view text;
};
inline constexpr std::array<CounterInfo, counter_count> counter_infos{{
#define X(name, reject, text) {#name, reject, text},
    UNDERCROFT_COLLECTOR_COUNTERS(X)
#undef X
}};

/// One thread counts (others may add now and then), any thread reads.
class alignas(64) Counters {
public:
    void add(Counter id, std::uint64_t amount = 1)
    {
        values_[static_cast<std::size_t>(id)].fetch_add(amount, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t get(Counter id) const { return at(static_cast<std::size_t>(id)); }
    [[nodiscard]] std::uint64_t at(std::size_t index) const
    {
        return values_.at(index).load(std::memory_order_relaxed);
    }

private:
    std::array<std::atomic<std::uint64_t>, counter_count> values_{};
};

using CounterValues = std::array<std::uint64_t, counter_count>;

} // namespace undercroft::collector
