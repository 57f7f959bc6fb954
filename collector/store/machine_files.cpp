// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/machine_files.hpp"

#include <fstream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "collector/store/record_file.hpp"
#include "wire/counters.hpp"

namespace undercroft::collector {
namespace {

using Json = nlohmann::ordered_json;

template <std::size_t N>
std::string text_of(char const (&field)[N])
{
    return std::string{field, ::strnlen(field, N)};
}

/// Sensor text may be any bytes; what is not UTF-8 becomes U+FFFD.
std::string dump(Json const& document)
{
    return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string counter_name(std::uint16_t id)
{
    switch (static_cast<wire::CounterId>(id)) {
#define X(number, name, text)                                                                                          \
    case wire::CounterId::name:                                                                                        \
        return #name;
        UNDERCROFT_COUNTERS(X)
#undef X
    }
    return fmt::format("counter_{}", id);
}

Json disks_of(HelloMessage const& hello)
{
    Json disks = Json::array();
    for (std::size_t at = 0; at < hello.disks.size(); at += sizeof(wire::DiskInfo)) {
        wire::DiskInfo disk;
        std::memcpy(&disk, hello.disks.data() + at, sizeof(disk));
        disks.push_back({{"source", disk.source.get()},
                         {"logical_sector_bytes", disk.logical_sector_bytes.get()},
                         {"capacity_512", disk.capacity_512.get()},
                         {"model", text_of(disk.model)},
                         {"serial", text_of(disk.serial)}});
    }
    return disks;
}

std::string name_or_number(std::uint16_t value, std::initializer_list<char const*> names)
{
    return value < names.size() ? std::string{names.begin()[value]} : std::to_string(value);
}

std::uint64_t counter_in(fs::path const& path)
{
    std::ifstream stream{path};
    if (!stream)
        return 0;
    auto const document = nlohmann::json::parse(stream, nullptr, false);
    if (!document.is_object() || !document.contains("datagram_counter"))
        return 0;
    auto const& value = document["datagram_counter"];
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

} // namespace

fs::path write_hello(fs::path const& store, BootKey const& boot, HelloMessage const& hello)
{
    Json const document{
        {"machine", to_hex(boot.machine)},
        {"boot", to_hex(boot.boot)},
        {"time_utc_ns", hello.body.time_utc_ns.get()},
        {"start_utc_ns", hello.body.start_utc_ns.get()},
        {"sensor_version", text_of(hello.body.sensor_version)},
        {"cpu_backend", text_of(hello.body.cpu_backend)},
        {"capture_mode", name_or_number(hello.body.capture_mode.get(), {"header", "full"})},
        {"policy", name_or_number(hello.body.policy.get(), {"drop", "hold"})},
        {"disks", disks_of(hello)},
        {"datagram_counter", hello.counter},
    };
    fs::path const folder = boot_folder(store, boot);
    create_directories_durably(folder);
    // Not synced: that would keep the receiving thread from everything else, and a sensor says it again to every start
    // of a collector.
    replace_file(folder / "hello.json", dump(document), false);
    return folder / "hello.json";
}

fs::path write_status(fs::path const& store, BootKey const& boot, StatusMessage const& status)
{
    std::map<std::string, std::uint64_t> totals;
    std::map<std::string, std::map<std::string, std::uint64_t>> by_index;
    for (std::size_t at = 0; at < status.counters.size(); at += sizeof(wire::Counter)) {
        wire::Counter counter;
        std::memcpy(&counter, status.counters.data() + at, sizeof(counter));
        std::string const name = counter_name(counter.id.get());
        totals[name] += counter.value.get();
        by_index[name][std::to_string(counter.index.get())] = counter.value.get();
    }
    // Only counters that really come apart by CPU or port are listed a second time.
    std::erase_if(by_index, [](auto const& entry) { return entry.second.size() < 2; });
    Json const document{
        {"machine", to_hex(boot.machine)},
        {"boot", to_hex(boot.boot)},
        {"time_utc_ns", status.body.time_utc_ns.get()},
        {"uptime_ns", status.body.uptime_ns.get()},
        {"next_sequence", status.body.next_sequence.get()},
        {"next_slot", status.body.next_slot.get()},
        {"counters", totals},
        {"counters_by_index", by_index},
        {"datagram_counter", status.counter},
    };
    fs::path const folder = boot_folder(store, boot);
    create_directories_durably(folder);
    replace_file(folder / "status.json", dump(document), false);
    return folder / "status.json";
}

StoredCounters read_stored_counters(fs::path const& store, BootKey const& boot)
{
    fs::path const folder = boot_folder(store, boot);
    return {counter_in(folder / "hello.json"), counter_in(folder / "status.json")};
}

} // namespace undercroft::collector
