// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From a received datagram to the store and back to an acknowledgement. Nothing is allocated
// for a sender before one of its datagrams has verified.
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "collector/ingest/assembly.hpp"
#include "collector/key_ring.hpp"
#include "collector/receive/socket.hpp"
#include "collector/snapshot.hpp"
#include "collector/store/machine_files.hpp"
#include "collector/store/store.hpp"

namespace undercroft::collector {

struct IntakeLimits {
    std::size_t boots = 65536;                          ///< starts of sensors kept apart in one run
    std::size_t waiting_bytes = std::size_t{256} << 20; ///< incomplete or out-of-order slots, all streams together
    AssemblyLimits stream;
};

class Intake {
public:
    /// `machines` restricts to these, if not empty.
    Intake(KeyRing keys, std::set<Id> machines, Store& store, Counters& counters, IntakeLimits limits = {});

    enum class Verdict { accepted, rejected };
    /// Opens the datagram in place and takes it in. On rejection `reject()` says why.
    Verdict take(std::span<std::uint8_t> datagram, Peer const& from, std::uint64_t now_utc_ns);
    [[nodiscard]] Counter reject() const { return reject_; }

    /// Takes an opened datagram (also used by the fuzzer, which has no keys).
    Verdict take_opened(std::span<std::uint8_t const> datagram, Peer const& from, std::uint64_t now_utc_ns);

    /// What was handed to the store so far is being made durable ...
    void commit_started();
    /// ... and is durable now.
    void commit_finished();
    /// Offers the store what it could not take earlier.
    void retry(std::uint64_t now_utc_ns);
    /// Sends the acknowledgements that are due.
    void acknowledge(Socket const& socket);
    [[nodiscard]] bool acks_due() const { return !due_.empty(); }
    /// Bytes of incomplete and out-of-order slots.
    [[nodiscard]] std::size_t waiting_bytes() const { return budget_.used; }
    [[nodiscard]] std::vector<SensorFigures> sensors() const;

private:
    struct Boot {
        wire::Key receive_key{};
        wire::Key send_key{};
        Peer peer;
        std::uint64_t last_heard_utc_ns = 0;
        std::uint64_t highest_counter = 0;
        std::uint64_t hello_counter = 0;
        std::uint64_t status_counter = 0;
        std::uint64_t ack_counter = 0;
        bool control_ack_due = false;
        bool storage_ack_due = false;
        bool queued = false;                     ///< is in due_
        bool changed = false;                    ///< is in changed_
        std::unique_ptr<StreamAssembly> storage; ///< made with the first fragment or status
    };
    using Boots = std::unordered_map<BootKey, Boot, BootKeyHash>;

    [[nodiscard]] std::optional<wire::Key> key_for(BootKey const& key) const;
    [[nodiscard]] Boots::value_type* find_or_make(BootKey const& key);
    Verdict refuse(Counter why);
    Verdict take_data(Boots::value_type& entry, DataFragment const& data, std::uint64_t now_utc_ns);
    Verdict take_hello(Boots::value_type& entry, HelloMessage const& hello);
    Verdict take_status(Boots::value_type& entry, StatusMessage const& status);
    StreamAssembly& storage_of(Boots::value_type& entry);
    void deliver(Boots::value_type& entry, std::uint64_t now_utc_ns);
    void queue_ack(Boots::value_type& entry);
    void note_store_error(StoreError const& error);
    void send_ack(Socket const& socket, BootKey const& key, Boot& boot, wire::Stream stream);

    KeyRing keys_;
    std::set<Id> machines_;
    Store& store_;
    Counters& counters_;
    IntakeLimits limits_;
    MemoryBudget budget_;
    std::uint64_t instance_; ///< random for each start, so that acknowledgements never share a nonce
    Boots boots_;
    std::vector<Boots::value_type*> due_;        ///< starts that an acknowledgement is due to
    std::vector<Boots::value_type*> changed_;    ///< have handed slots to the store since commit_started
    std::vector<Boots::value_type*> committing_; ///< wait for commit_finished
    Counter reject_{};
};

} // namespace undercroft::collector
