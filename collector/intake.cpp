// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/intake.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <spdlog/spdlog.h>
#include <sys/random.h>

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

Intake::Intake(KeyRing keys, std::set<Id> machines, Store& store, Counters& counters, IntakeLimits limits)
    : keys_{std::move(keys)}, machines_{std::move(machines)}, store_{store}, counters_{counters}, limits_{limits},
      budget_{limits.waiting_bytes, 0}, instance_{random_instance()}
{
}

Intake::Verdict Intake::refuse(Counter why)
{
    counters_.add(why);
    reject_ = why;
    return Verdict::rejected;
}

Intake::Verdict Intake::take(std::span<std::uint8_t> datagram, Peer const& from, std::uint64_t now_utc_ns)
{
    auto const header = check_header(datagram);
    if (!header)
        return refuse(header.error());
    BootKey const key = boot_key_of(*header);
    if (!machines_.empty() && !machines_.contains(key.machine))
        return refuse(Counter::machine_not_wanted);
    auto const receive_key = key_for(key);
    if (!receive_key)
        return refuse(Counter::machine_without_key);
    if (!wire::open(*receive_key, datagram))
        return refuse(Counter::bad_tag);
    return take_opened(datagram, from, now_utc_ns);
}

/// Known starts have their key at hand; for others it is derived each time and kept only once a datagram verifies.
std::optional<wire::Key> Intake::key_for(BootKey const& key) const
{
    auto const found = boots_.find(key);
    if (found != boots_.end())
        return found->second.receive_key;
    wire::Key const* const shared = keys_.find(key.machine);
    if (shared == nullptr)
        return std::nullopt;
    return wire::derive_key(*shared, wire::Direction::from_sensor, key.machine, key.boot, 0);
}

Intake::Boots::value_type* Intake::find_or_make(BootKey const& key)
{
    auto const found = boots_.find(key);
    if (found != boots_.end())
        return &*found;
    wire::Key const* const shared = keys_.find(key.machine);
    if (boots_.size() >= limits_.boots || shared == nullptr)
        return nullptr;
    auto& entry = *boots_.try_emplace(key).first;
    Boot& boot = entry.second;
    boot.receive_key = wire::derive_key(*shared, wire::Direction::from_sensor, key.machine, key.boot, 0);
    boot.send_key = wire::derive_key(*shared, wire::Direction::from_collector, key.machine, key.boot, instance_);
    StoredCounters const stored = read_stored_counters(store_.folder(), key);
    boot.hello_counter = stored.hello;
    boot.status_counter = stored.status;
    return &entry;
}

Intake::Verdict Intake::take_opened(std::span<std::uint8_t const> datagram, Peer const& from, std::uint64_t now_utc_ns)
{
    auto const message = decode(datagram);
    if (!message)
        return refuse(message.error());
    wire::DatagramHeader header;
    std::memcpy(&header, datagram.data(), sizeof(header));
    BootKey const key = boot_key_of(header);
    auto* const entry = find_or_make(key);
    if (entry == nullptr)
        return refuse(Counter::boots_refused);
    Boot& boot = entry->second;
    boot.last_heard_utc_ns = now_utc_ns;
    // Only the newest datagram decides where acknowledgements go: a replay from elsewhere must not divert them.
    if (header.counter.get() >= boot.highest_counter) {
        boot.highest_counter = header.counter.get();
        boot.peer = from;
    }
    if (auto const* const data = std::get_if<DataFragment>(&*message))
        return take_data(*entry, *data, now_utc_ns);
    if (auto const* const hello = std::get_if<HelloMessage>(&*message))
        return take_hello(*entry, *hello);
    return take_status(*entry, std::get<StatusMessage>(*message));
}

StreamAssembly& Intake::storage_of(Boots::value_type& entry)
{
    auto& [key, boot] = entry;
    if (!boot.storage)
        boot.storage = std::make_unique<StreamAssembly>(key, wire::Stream::storage, store_.resume(key), limits_.stream,
                                                        budget_, counters_);
    return *boot.storage;
}

Intake::Verdict Intake::take_data(Boots::value_type& entry, DataFragment const& data, std::uint64_t now_utc_ns)
{
    if (!store_.error().empty())
        return refuse(Counter::data_disk_full);
    counters_.add(Counter::fragments_received);
    storage_of(entry).accept(data);
    deliver(entry, now_utc_ns);
    return Verdict::accepted;
}

Intake::Verdict Intake::take_hello(Boots::value_type& entry, HelloMessage const& hello)
{
    auto& [key, boot] = entry;
    if (hello.counter < boot.hello_counter)
        return refuse(Counter::hello_stale);
    if (hello.counter > boot.hello_counter) {
        try {
            write_hello(store_.folder(), key, hello);
        } catch (StoreError const& error) {
            note_store_error(error);
            return Verdict::accepted; // without an acknowledgement the sensor says it again
        }
        boot.hello_counter = hello.counter;
    }
    counters_.add(Counter::hellos_received);
    boot.control_ack_due = true;
    queue_ack(entry);
    return Verdict::accepted;
}

Intake::Verdict Intake::take_status(Boots::value_type& entry, StatusMessage const& status)
{
    auto& [key, boot] = entry;
    if (status.counter <= boot.status_counter)
        return refuse(Counter::status_stale);
    boot.status_counter = status.counter;
    counters_.add(Counter::statuses_received);
    // A sensor whose fragments all reached a collector that died since has nothing to send again and waits.
    // Hearing this instance's number makes it forget what that one had told it.
    storage_of(entry);
    boot.storage_ack_due = true;
    queue_ack(entry);
    try {
        write_status(store_.folder(), key, status);
    } catch (StoreError const& error) {
        note_store_error(error);
    }
    return Verdict::accepted;
}

void Intake::note_store_error(StoreError const& error)
{
    counters_.add(Counter::store_errors);
    spdlog::error("{}", error.what());
}

void Intake::queue_ack(Boots::value_type& entry)
{
    if (!std::exchange(entry.second.queued, true))
        due_.push_back(&entry);
}

void Intake::deliver(Boots::value_type& entry, std::uint64_t now_utc_ns)
{
    Boot& boot = entry.second;
    boot.storage->deliver(store_, now_utc_ns);
    boot.storage_ack_due = true;
    queue_ack(entry);
    if (!std::exchange(boot.changed, true))
        changed_.push_back(&entry);
}

void Intake::commit_started()
{
    for (auto* const entry : changed_) {
        entry->second.changed = false;
        entry->second.storage->commit_started();
    }
    committing_.swap(changed_);
    changed_.clear();
}

void Intake::commit_finished()
{
    for (auto* const entry : committing_) {
        entry->second.storage->commit_finished();
        entry->second.storage_ack_due = true;
        queue_ack(*entry);
    }
    committing_.clear();
}

void Intake::retry(std::uint64_t now_utc_ns)
{
    for (auto& entry : boots_)
        if (entry.second.storage)
            deliver(entry, now_utc_ns);
}

std::vector<SensorFigures> Intake::sensors() const
{
    std::vector<SensorFigures> all;
    for (auto const& [key, boot] : boots_) {
        SensorFigures figures{.key = key, .last_heard_utc_ns = boot.last_heard_utc_ns};
        if (boot.storage) {
            figures.next_sequence = boot.storage->position().next_sequence;
            figures.next_slot = boot.storage->position().next_slot;
            figures.durable_slot = boot.storage->durable_slot();
        }
        all.push_back(figures);
    }
    return all;
}

void Intake::acknowledge(Socket const& socket)
{
    for (auto* const entry : due_) {
        auto& [key, boot] = *entry;
        boot.queued = false;
        if (std::exchange(boot.control_ack_due, false))
            send_ack(socket, key, boot, wire::Stream::control);
        if (std::exchange(boot.storage_ack_due, false))
            send_ack(socket, key, boot, wire::Stream::storage);
    }
    due_.clear();
}

void Intake::send_ack(Socket const& socket, BootKey const& key, Boot& boot, wire::Stream stream)
{
    std::vector<wire::AckEntry> entries;
    wire::AckBody body{};
    body.highest_counter = boot.highest_counter;
    if (stream == wire::Stream::storage) {
        body.next_slot = boot.storage->durable_slot();
        entries = boot.storage->ack_entries();
    }
    std::size_t const entries_bytes = entries.size() * sizeof(wire::AckEntry);
    wire::DatagramHeader header{};
    header.magic = wire::datagram_magic;
    header.version = wire::datagram_version;
    header.type = static_cast<std::uint8_t>(wire::Type::ack);
    header.stream = static_cast<std::uint16_t>(stream);
    std::ranges::copy(key.machine, header.machine_id);
    std::ranges::copy(key.boot, header.boot_id);
    header.instance = instance_;
    header.counter = ++boot.ack_counter;
    header.count = static_cast<std::uint32_t>(entries.size());
    header.sealed_bytes = static_cast<std::uint32_t>(sizeof(body) + entries_bytes);

    std::array<std::uint8_t, wire::datagram_overhead + sizeof(body) + wire::max_ack_entries * sizeof(wire::AckEntry)>
        buffer{};
    std::memcpy(buffer.data(), &header, sizeof(header));
    std::memcpy(buffer.data() + sizeof(header), &body, sizeof(body));
    if (!entries.empty())
        std::memcpy(buffer.data() + sizeof(header) + sizeof(body), entries.data(), entries_bytes);
    std::span const datagram{buffer.data(), wire::datagram_overhead + sizeof(body) + entries_bytes};
    wire::seal(boot.send_key, datagram);
    counters_.add(socket.send(boot.peer, datagram) ? Counter::acks_sent : Counter::ack_send_failed);
}

} // namespace undercroft::collector
