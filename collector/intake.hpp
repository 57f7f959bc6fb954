// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// From a received datagram to the store and back to an acknowledgement. Any number of threads bring datagrams, each
// with its lane; sensors are locked one by one. Nothing is allocated for a sender before one of its datagrams has
// verified.
#include <array>
#include <chrono>
#include <condition_variable>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "collector/ingest/assembly.hpp"
#include "collector/key_ring.hpp"
#include "collector/receive/datagram_cipher.hpp"
#include "collector/receive/socket.hpp"
#include "collector/snapshot.hpp"
#include "collector/store/machine_files.hpp"
#include "collector/store/store.hpp"
#include "wire/control.hpp"

namespace undercroft::collector {

struct IntakeLimits {
    std::size_t boots = 65536;                          ///< starts of sensors kept apart in one run
    std::size_t waiting_bytes = std::size_t{256} << 20; ///< incomplete or out-of-order slots, all streams together
    AssemblyLimits stream;
};

class Intake {
    struct Boot;

public:
    /// `machines` restricts to these, if not empty.
    Intake(KeyRing keys, std::set<Id> machines, Store& store, IntakeLimits limits = {});
    ~Intake();

    enum class Verdict { accepted, rejected };

    /// What one thread brings along; belongs to it alone.
    class Lane {
    public:
        explicit Lane(Counters& counters) : counters_{counters} {}
        [[nodiscard]] bool acks_due() const { return !due_.empty(); }
        /// Why the last datagram was rejected.
        [[nodiscard]] Counter reject() const { return reject_; }

    private:
        friend class Intake;
        Counters& counters_;
        Counter reject_{};
        DatagramCipher probe_{{}, DatagramCipher::Use::open}; ///< for starts not heard before
        std::vector<Boot*> due_;                              ///< starts that an acknowledgement is due to
        std::array<Boot*, 128> recent_{};                     ///< starts heard lately, by hash
    };

    /// Opens the datagram in place and takes it in.
    Verdict take(Lane& lane, std::span<std::uint8_t> datagram, Peer const& from, std::uint64_t now_utc_ns);
    /// Sends the acknowledgements that are due in this lane.
    void acknowledge(Lane& lane, Socket const& socket);

    /// What was handed to the store so far is being made durable; call it before the store starts to ...
    void commit_started();
    /// ... and is durable now: acknowledgements become due in this lane.
    void commit_finished(Lane& lane);
    /// From here on these keys. Starts of machines whose key is another one now, or gone, are not understood any more.
    void replace_keys(KeyRing keys);
    /// Offers the store what it could not take earlier.
    void retry(std::uint64_t now_utc_ns);

    /// The sensor's answer to a command.
    struct Answer {
        wire::AnswerBody body;
        std::vector<wire::MemoryStatus> states;
    };
    enum class CommandFailure { machine_unknown, no_answer };
    /// Sends a command to the latest start of a machine, again and again until its answer comes or the time is over.
    /// `more` follows the CommandBody. For one thread at a time, with a lane of its own.
    [[nodiscard]] std::expected<Answer, CommandFailure> command(Lane& lane, Socket const& socket, Id const& machine,
                                                                wire::ControlCommand command,
                                                                std::span<std::uint8_t const> more,
                                                                std::chrono::milliseconds patience);

    /// Bytes of incomplete and out-of-order slots.
    [[nodiscard]] std::size_t waiting_bytes() const { return budget_.used; }
    [[nodiscard]] std::vector<SensorFigures> sensors() const;

private:
    static constexpr std::array streams{wire::Stream::storage, wire::Stream::memory};

    struct StreamState {
        bool ack_due = false;
        std::unique_ptr<StreamAssembly> assembly; ///< made with the first fragment or status
    };
    /// One start of a sensor. Lives as long as the intake.
    struct Boot {
        Boot(BootKey const& boot, wire::Key const& shared, std::uint64_t instance);
        BootKey const key;
        std::mutex mutex; ///< guards everything below
        DatagramCipher open;
        DatagramCipher seal;
        Peer peer;
        std::uint64_t highest_counter = 0;
        std::uint64_t hello_counter = 0;
        std::uint64_t status_counter = 0;
        std::uint64_t ack_counter = 0;
        std::uint64_t last_heard_utc_ns = 0;
        bool without_key = false; ///< the key was taken away
        bool control_ack_due = false;
        bool queued = false;              ///< is in a receiving lane's due_
        bool changed = false;             ///< is in changed_
        std::uint64_t command_number = 0; ///< of the last command
        std::optional<Answer> answer;     ///< to it
        std::array<StreamState, streams.size()> stream;
    };

    static Verdict refuse(Lane& lane, Counter why);
    [[nodiscard]] Boot* find(Lane& lane, BootKey const& key);
    [[nodiscard]] Boot* admit(Lane& lane, BootKey const& key, std::span<std::uint8_t> datagram);
    Verdict take_opened(Lane& lane, Boot& boot, std::span<std::uint8_t const> datagram, Peer const& from,
                        std::uint64_t now_utc_ns);
    Verdict take_data(Lane& lane, Boot& boot, DataFragment const& data, std::uint64_t now_utc_ns);
    Verdict take_hello(Lane& lane, Boot& boot, HelloMessage const& hello);
    Verdict take_status(Lane& lane, Boot& boot, StatusMessage const& status);
    Verdict take_answer(Lane& lane, Boot& boot, AnswerMessage const& message);
    [[nodiscard]] Boot* latest_start(Id const& machine) const;
    void send_command(Lane& lane, Socket const& socket, Boot& boot, wire::CommandBody const& body,
                      std::span<std::uint8_t const> more) const;
    StreamState& state_of(Lane& lane, Boot& boot, wire::Stream stream);
    void deliver(Boot& boot, StreamState& state, std::uint64_t now_utc_ns);
    static void queue_ack(Lane& lane, Boot& boot);
    static void note_store_error(Lane& lane, Boot const& boot, StoreError const& error);
    void send_ack(Lane& lane, Socket const& socket, Boot& boot, wire::Stream stream, StreamAssembly const* assembly);
    [[nodiscard]] std::uint64_t slot_limit(StreamAssembly const& assembly) const;

    [[nodiscard]] std::shared_ptr<KeyRing const> keys() const;

    mutable std::mutex keys_mutex_; ///< taken after any other
    std::shared_ptr<KeyRing const> keys_;
    std::set<Id> machines_;
    Store& store_;
    IntakeLimits limits_;
    MemoryBudget budget_;
    std::uint64_t instance_; ///< random for each start, so that acknowledgements never share a nonce
    mutable std::shared_mutex boots_mutex_;
    std::unordered_map<BootKey, std::unique_ptr<Boot>, BootKeyHash> boots_;
    std::condition_variable answered_; ///< an answer came; waits with a boot's mutex
    std::mutex changed_mutex_;         ///< taken after a boot's mutex, never before
    std::vector<Boot*> changed_;       ///< have handed slots to the store since commit_started
    std::vector<Boot*> committing_;    ///< wait for commit_finished
};

} // namespace undercroft::collector
