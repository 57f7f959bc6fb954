// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/intake.hpp"

#include <sys/random.h>

#include <algorithm>
#include <stdexcept>

#include "collector/log/log.hpp"

namespace undercroft::collector {
namespace {

std::uint64_t random_instance()
{
    std::uint64_t value = 0;
    // 0 is the sensor's own.
    while (value == 0)
        if (::getrandom(&value, sizeof(value), 0) != sizeof(value))
            throw std::runtime_error{"the system gives no random numbers"};
    return value;
}

} // namespace

Intake::Boot::Boot(BootKey const& boot, wire::Key const& shared, std::uint64_t instance)
    : key{boot}, open{wire::derive_key(shared, wire::Direction::from_sensor, boot.machine, boot.boot, 0),
                      DatagramCipher::Use::open},
      seal{wire::derive_key(shared, wire::Direction::from_collector, boot.machine, boot.boot, instance),
           DatagramCipher::Use::seal}
{
}

Intake::Intake(KeyRing keys, std::set<Id> machines, Store& store, IntakeLimits limits)
    : keys_{std::make_shared<KeyRing const>(std::move(keys))}, machines_{std::move(machines)}, store_{store},
      limits_{limits}, budget_{limits.waiting_bytes}, instance_{random_instance()}
{
}

Intake::~Intake() = default;

Intake::Verdict Intake::refuse(Lane& lane, Counter why)
{
    lane.counters_.add(why);
    lane.reject_ = why;
    return Verdict::rejected;
}

Intake::Verdict Intake::take(Lane& lane, std::span<std::uint8_t> datagram, Peer const& from, std::uint64_t now_utc_ns)
{
    auto const header = check_header(datagram);
    if (!header)
        return refuse(lane, header.error());
    BootKey const key = boot_key_of(*header);
    Boot* boot = find(lane, key);
    if (boot != nullptr) {
        std::lock_guard const guard{boot->mutex};
        if (boot->without_key)
            return refuse(lane, Counter::machine_without_key);
        if (!boot->open.open(datagram))
            return refuse(lane, Counter::bad_tag);
        return take_opened(lane, *boot, datagram, from, now_utc_ns);
    }
    boot = admit(lane, key, datagram);
    if (boot == nullptr)
        return Verdict::rejected;
    std::lock_guard const guard{boot->mutex};
    return take_opened(lane, *boot, datagram, from, now_utc_ns);
}

Intake::Boot* Intake::find(Lane& lane, BootKey const& key)
{
    Boot*& recent = lane.recent_[BootKeyHash{}(key) % lane.recent_.size()];
    if (recent != nullptr && recent->key == key)
        return recent;
    std::shared_lock const guard{boots_mutex_};
    auto const found = boots_.find(key);
    if (found == boots_.end())
        return nullptr;
    recent = found->second.get();
    return recent;
}

/// A start not heard before: only a datagram that verifies makes it known, and opens it. Null: refused.
Intake::Boot* Intake::admit(Lane& lane, BootKey const& key, std::span<std::uint8_t> datagram)
{
    auto const keys_now = keys();
    wire::Key const* const shared = keys_now->find(key.machine);
    if (!machines_.empty() && !machines_.contains(key.machine))
        refuse(lane, Counter::machine_not_wanted);
    else if (shared == nullptr)
        refuse(lane, Counter::machine_without_key);
    else {
        lane.probe_.use_key(wire::derive_key(*shared, wire::Direction::from_sensor, key.machine, key.boot, 0));
        if (!lane.probe_.open(datagram)) {
            refuse(lane, Counter::bad_tag);
            return nullptr;
        }
        auto boot = std::make_unique<Boot>(key, *shared, instance_);
        StoredCounters const stored = read_stored_counters(store_.folder(), key);
        boot->hello_counter = stored.hello;
        boot->status_counter = stored.status;
        std::unique_lock const guard{boots_mutex_};
        if (keys_now != keys()) { // replaced meanwhile: the sensor's next datagram meets the new ones
            refuse(lane, Counter::bad_tag);
            return nullptr;
        }
        if (boots_.size() < limits_.boots)
            return boots_.try_emplace(key, std::move(boot)).first->second.get();
        refuse(lane, Counter::boots_refused);
    }
    return nullptr;
}

Intake::Verdict Intake::take_opened(Lane& lane, Boot& boot, std::span<std::uint8_t const> datagram, Peer const& from,
                                    std::uint64_t now_utc_ns)
{
    auto const message = decode(datagram);
    if (!message)
        return refuse(lane, message.error());
    wire::DatagramHeader header;
    std::memcpy(&header, datagram.data(), sizeof(header));
    // Only a newer datagram than all before decides where acknowledgements go: a replay from elsewhere must not divert
    // them.
    if (header.counter.get() > boot.highest_counter || boot.peer.length == 0) {
        boot.highest_counter = header.counter.get();
        boot.peer = from;
        boot.last_heard_utc_ns = now_utc_ns;
    }
    if (auto const* const data = std::get_if<DataFragment>(&*message))
        return take_data(lane, boot, *data, now_utc_ns);
    if (auto const* const hello = std::get_if<HelloMessage>(&*message))
        return take_hello(lane, boot, *hello);
    if (auto const* const answer = std::get_if<AnswerMessage>(&*message))
        return take_answer(lane, boot, *answer);
    return take_status(lane, boot, std::get<StatusMessage>(*message));
}

Intake::StreamState& Intake::state_of(Lane& lane, Boot& boot, wire::Stream stream)
{
    auto const index = static_cast<std::size_t>(std::ranges::find(streams, stream) - streams.begin());
    StreamState& state = boot.stream.at(index);
    if (!state.assembly)
        state.assembly = std::make_unique<StreamAssembly>(boot.key, stream, store_.resume(boot.key, stream),
                                                          limits_.stream, budget_, lane.counters_);
    return state;
}

Intake::Verdict Intake::take_data(Lane& lane, Boot& boot, DataFragment const& data, std::uint64_t now_utc_ns)
{
    if (store_.failing())
        return refuse(lane, Counter::data_disk_full);
    lane.counters_.add(Counter::fragments_received);
    StreamState& state = state_of(lane, boot, data.stream);
    state.assembly->accept(data);
    deliver(boot, state, now_utc_ns);
    queue_ack(lane, boot);
    return Verdict::accepted;
}

Intake::Verdict Intake::take_hello(Lane& lane, Boot& boot, HelloMessage const& hello)
{
    if (hello.counter < boot.hello_counter)
        return refuse(lane, Counter::hello_stale);
    if (hello.counter > boot.hello_counter) {
        try {
            store_.announce(write_hello(store_.folder(), boot.key, hello), ClosedKind::meta);
        } catch (StoreError const& error) {
            note_store_error(lane, boot, error);
            return Verdict::accepted; // without an acknowledgement the sensor says it again
        }
        boot.hello_counter = hello.counter;
    }
    lane.counters_.add(Counter::hellos_received);
    boot.control_ack_due = true;
    queue_ack(lane, boot);
    return Verdict::accepted;
}

Intake::Verdict Intake::take_status(Lane& lane, Boot& boot, StatusMessage const& status)
{
    if (status.counter <= boot.status_counter)
        return refuse(lane, Counter::status_stale);
    boot.status_counter = status.counter;
    lane.counters_.add(Counter::statuses_received);
    // A sensor whose fragments all reached a collector that died since has nothing to send again and waits.
    // Hearing this instance's number makes it forget what that one had told it.
    state_of(lane, boot, wire::Stream::storage).ack_due = true;
    queue_ack(lane, boot);
    try {
        store_.announce(write_status(store_.folder(), boot.key, status), ClosedKind::meta);
    } catch (StoreError const& error) {
        note_store_error(lane, boot, error);
    }
    return Verdict::accepted;
}

void Intake::note_store_error(Lane& lane, Boot const& boot, StoreError const& error)
{
    lane.counters_.add(Counter::store_errors);
    log_event(spdlog::level::err, "machine_file_not_written", error.what(),
              {.machine = boot.key.machine, .boot = boot.key.boot});
}

void Intake::queue_ack(Lane& lane, Boot& boot)
{
    if (!std::exchange(boot.queued, true))
        lane.due_.push_back(&boot);
}

void Intake::deliver(Boot& boot, StreamState& state, std::uint64_t now_utc_ns)
{
    state.assembly->deliver(store_, now_utc_ns);
    state.ack_due = true;
    if (std::exchange(boot.changed, true))
        return;
    std::lock_guard const guard{changed_mutex_};
    changed_.push_back(&boot);
}

void Intake::commit_started()
{
    std::vector<Boot*> changed;
    {
        std::lock_guard const guard{changed_mutex_};
        changed.swap(changed_);
    }
    for (Boot* const boot : changed) {
        std::lock_guard const guard{boot->mutex};
        boot->changed = false;
        for (StreamState const& state : boot->stream)
            if (state.assembly)
                state.assembly->commit_started();
    }
    committing_ = std::move(changed);
}

void Intake::commit_finished(Lane& lane)
{
    for (Boot* const boot : committing_) {
        std::lock_guard const guard{boot->mutex};
        for (StreamState& state : boot->stream) {
            if (!state.assembly)
                continue;
            state.assembly->commit_finished();
            state.ack_due = true;
        }
        // Also when it waits in a receiving lane: that one would come later, and then finds nothing due.
        lane.due_.push_back(boot);
    }
    committing_.clear();
}

void Intake::retry(std::uint64_t now_utc_ns)
{
    std::shared_lock const guard{boots_mutex_};
    for (auto const& [key, boot] : boots_) {
        std::lock_guard const boot_guard{boot->mutex};
        for (StreamState& state : boot->stream)
            if (state.assembly)
                deliver(*boot, state, now_utc_ns);
    }
}

std::shared_ptr<KeyRing const> Intake::keys() const
{
    std::lock_guard const guard{keys_mutex_};
    return keys_;
}

void Intake::replace_keys(KeyRing keys)
{
    auto const fresh = std::make_shared<KeyRing const>(std::move(keys));
    {
        std::lock_guard const guard{keys_mutex_};
        keys_ = fresh;
    }
    std::shared_lock const guard{boots_mutex_};
    for (auto const& [key, boot] : boots_) {
        std::lock_guard const boot_guard{boot->mutex};
        wire::Key const* const shared = fresh->find(key.machine);
        boot->without_key = shared == nullptr;
        if (shared == nullptr)
            continue;
        boot->open.use_key(wire::derive_key(*shared, wire::Direction::from_sensor, key.machine, key.boot, 0));
        boot->seal.use_key(
            wire::derive_key(*shared, wire::Direction::from_collector, key.machine, key.boot, instance_));
    }
}

std::vector<SensorFigures> Intake::sensors() const
{
    std::vector<SensorFigures> figures;
    std::shared_lock const guard{boots_mutex_};
    figures.reserve(boots_.size());
    for (auto const& [key, boot] : boots_) {
        std::lock_guard const boot_guard{boot->mutex};
        SensorFigures one{.key = key, .last_heard_utc_ns = boot->last_heard_utc_ns};
        if (StreamAssembly const* const storage = boot->stream[0].assembly.get()) {
            one.next_sequence = storage->position().next_sequence;
            one.next_slot = storage->next_slot();
            one.durable_slot = storage->durable_slot();
        }
        figures.push_back(one);
    }
    return figures;
}

} // namespace undercroft::collector
