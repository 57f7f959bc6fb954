// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// uc_sensor_load: up to 64 sensors with records that anybody can compute again. For tests and benchmarks, not
// installed.
#include <arpa/inet.h>
#include <poll.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/load/sensor.hpp"
#include "collector/key_ring.hpp"

namespace {

using namespace undercroft;
using Sensors = std::vector<std::unique_ptr<load::LoadSensor>>;

std::sig_atomic_t volatile stop_asked = 0;

struct Arguments {
    load::SensorOptions sensor;
    std::string to = "127.0.0.1:4710";
    std::string key_file;
    std::string shape = "headers";
    std::string summary_file;
    unsigned sensors = 1;
    unsigned threads = 1;
    double seconds = 0;
    double give_up = 60;
};

sockaddr_in address_of(std::string const& to)
{
    std::size_t const colon = to.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos || ::inet_pton(AF_INET, to.substr(0, colon).c_str(), &address.sin_addr) != 1)
        throw std::runtime_error{"--to wants ADDRESS:PORT"};
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(to.substr(colon + 1))));
    return address;
}

/// Machines 10...00, 10...01 and so on; the boot is the seed's.
collector::BootKey identity(unsigned index, std::uint64_t seed)
{
    collector::BootKey key;
    key.machine[0] = 0x10;
    key.machine[15] = static_cast<std::uint8_t>(index);
    std::uint64_t const random[2]{generator::splitmix64(seed), generator::splitmix64(seed + index + 1)};
    std::memcpy(key.boot.data(), random, sizeof(random));
    return key;
}

/// Polls the sensors until all are done. Gives up when nothing at all was acknowledged for so long.
bool play(std::span<std::unique_ptr<load::LoadSensor>> sensors, double give_up_s)
{
    std::vector<pollfd> descriptors;
    for (auto const& sensor : sensors)
        descriptors.push_back({sensor->fd(), POLLIN, 0});
    std::uint64_t acknowledged = 0;
    auto last_progress = load::Clock::now();
    for (;;) {
        auto const now = load::Clock::now();
        bool busy = false;
        bool done = true;
        std::uint64_t sum = 0;
        for (auto const& sensor : sensors) {
            if (stop_asked != 0)
                sensor->end();
            busy = sensor->poll(now) || busy;
            done = done && sensor->done(now);
            sum += sensor->result().acknowledged_slots;
        }
        if (done)
            return true;
        if (std::exchange(acknowledged, sum) != sum)
            last_progress = now;
        if (std::chrono::duration<double>(now - last_progress).count() > give_up_s)
            return false;
        if (!busy)
            ::poll(descriptors.data(), descriptors.size(), 1);
    }
}

/// Every processor prepares some; the time that the run starts at.
load::Clock::time_point prepare(Sensors& sensors)
{
    std::vector<std::thread> makers;
    unsigned const threads = std::max(1U, std::thread::hardware_concurrency());
    for (unsigned i = 0; i < threads; ++i)
        makers.emplace_back([&sensors, i, threads] {
            for (std::size_t at = i; at < sensors.size(); at += threads)
                sensors[at]->prepare();
        });
    for (auto& maker : makers)
        maker.join();
    auto const start = load::Clock::now();
    for (auto const& sensor : sensors)
        sensor->start(start);
    return start;
}

nlohmann::ordered_json describe(load::LoadSensor const& sensor)
{
    auto const& result = sensor.result();
    auto gaps = nlohmann::ordered_json::array();
    for (auto const& gap : result.gaps)
        gaps.push_back({gap.first, gap.missing});
    return {
        {"machine", collector::to_hex(sensor.options().boot.machine)},
        {"boot", collector::to_hex(sensor.options().boot.boot)},
        {"seed", sensor.options().rules.seed},
        {"records", result.records},
        {"next_sequence", result.next_sequence},
        {"slots", result.slots},
        {"acknowledged_slots", result.acknowledged_slots},
        {"datagrams", result.datagrams},
        {"resent", result.resent},
        {"timeouts", result.timeouts},
        {"send_refused", result.send_refused},
        {"acks", result.acks},
        {"acks_refused", result.acks_refused},
        {"limited_polls", result.limited_polls},
        {"worst_ack_ms", result.worst_ack_ms},
        {"bytes", result.bytes},
        {"gaps", gaps},
    };
}

int run(Arguments const& arguments)
{
    auto const keys = collector::KeyRing::read(arguments.key_file);
    auto start = load::Clock::now();
    Sensors sensors;
    for (unsigned i = 0; i < arguments.sensors; ++i) {
        load::SensorOptions options = arguments.sensor;
        options.to = address_of(arguments.to);
        options.boot = identity(i, arguments.sensor.rules.seed);
        if (keys.find(options.boot.machine) == nullptr)
            throw std::runtime_error{"the key file has no key for machine " + collector::to_hex(options.boot.machine)};
        options.key = *keys.find(options.boot.machine);
        options.rules.seed = generator::splitmix64(arguments.sensor.rules.seed + i);
        options.rules.shape = arguments.shape == "headers" ? generator::Shape::headers : generator::Shape::blocks;
        options.records_per_second /= arguments.sensors;
        if (arguments.seconds > 0)
            options.most = std::chrono::milliseconds{static_cast<long>(arguments.seconds * 1000)};
        sensors.push_back(std::make_unique<load::LoadSensor>(options, start));
    }
    if (arguments.sensor.prepare)
        start = prepare(sensors);
    unsigned const threads = std::min(arguments.threads, arguments.sensors);
    std::vector<std::thread> players;
    std::vector<char> complete(threads);
    for (unsigned i = 0; i < threads; ++i)
        players.emplace_back([&, i] {
            std::size_t const from = sensors.size() * i / threads;
            std::size_t const to = sensors.size() * (i + 1) / threads;
            complete[i] = static_cast<char>(play(std::span{sensors}.subspan(from, to - from), arguments.give_up));
        });
    for (auto& player : players)
        player.join();
    double const seconds = std::chrono::duration<double>(load::Clock::now() - start).count();
    bool const all = std::ranges::all_of(complete, [](char one) { return one != 0; });
    nlohmann::ordered_json document{{"complete", all},
                                    {"shape", arguments.shape},
                                    {"distinct", arguments.sensor.rules.distinct_blocks},
                                    {"base_time_utc_ns", arguments.sensor.rules.base_time_utc_ns},
                                    {"seconds", seconds}};
    std::array<std::uint64_t, 4> sums{};
    auto list = nlohmann::ordered_json::array();
    for (auto const& sensor : sensors) {
        auto const& result = sensor->result();
        sums[0] += result.records, sums[1] += result.datagrams, sums[2] += result.bytes, sums[3] += result.resent;
        list.push_back(describe(*sensor));
    }
    document["records"] = sums[0];
    document["datagrams"] = sums[1];
    document["bytes"] = sums[2];
    document["resent"] = sums[3];
    document["records_per_second"] = static_cast<double>(sums[0]) / seconds;
    document["megabytes_per_second"] = static_cast<double>(sums[2]) / seconds / 1e6;
    std::cout << document.dump() << "\n";
    document["sensors"] = list;
    if (!arguments.summary_file.empty())
        std::ofstream{arguments.summary_file} << document.dump(1) << "\n";
    return all ? 0 : 2;
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"Plays 1 to 64 sensors with known records; prints exact counts"};
    Arguments arguments;
    auto& sensor = arguments.sensor;
    app.add_option("--to", arguments.to, "collector")->capture_default_str();
    app.add_option("--key-file", arguments.key_file, "as for collect")->required();
    app.add_option("--sensors", arguments.sensors)->capture_default_str()->check(CLI::Range(1, 64));
    app.add_option("--threads", arguments.threads)->capture_default_str()->check(CLI::Range(1, 64));
    app.add_option("--shape", arguments.shape, "headers: 32 bytes a record; blocks: 4,128")
        ->capture_default_str()
        ->check(CLI::IsMember({"headers", "blocks"}));
    app.add_option("--records", sensor.records, "of each sensor; 0: until --seconds are over")->capture_default_str();
    app.add_option("--seconds", arguments.seconds, "make records no longer than this");
    app.add_option("--rate", sensor.records_per_second, "records per second, all sensors together; 0: no limit");
    app.add_option("--distinct", sensor.rules.distinct_blocks, "different contents")->check(CLI::PositiveNumber);
    app.add_option("--seed", sensor.rules.seed)->capture_default_str();
    app.add_option("--base-time-ns", sensor.rules.base_time_utc_ns, "time of record 0")->capture_default_str();
    app.add_option("--ns-per-record", sensor.rules.ns_per_record, "from one record to the next")->capture_default_str();
    app.add_option("--fragment-bytes", sensor.fragment_bytes)->capture_default_str()->check(CLI::Range(512, 32768));
    app.add_option("--in-flight", sensor.in_flight, "slots in flight, of each sensor")->check(CLI::Range(4, 1024));
    app.add_option("--gap-every", sensor.gap_every_slots, "leave out records before every so manieth slot");
    app.add_flag("--blast", sensor.blast, "do not wait for acknowledgements");
    app.add_option("--prepared", sensor.prepared_slots, "with --blast: seal so many slots once and repeat them");
    auto* const prepare = app.add_flag("--prepare", sensor.prepare, "seal all records first; the memory must suffice");
    app.add_option("--give-up", arguments.give_up, "seconds without an acknowledgement")->capture_default_str();
    app.add_option("--summary", arguments.summary_file, "everything about each sensor, as JSON");
    CLI11_PARSE(app, argc, argv);
    if (prepare->count() > 0 && sensor.records == 0) {
        std::cerr << "uc_sensor_load: --prepare wants --records\n";
        return 1;
    }
    // Asked to stop, it makes no more records and waits until all are acknowledged.
    std::signal(SIGTERM, [](int) { stop_asked = 1; });
    try {
        return run(arguments);
    } catch (std::exception const& error) {
        std::cerr << "uc_sensor_load: " << error.what() << "\n";
        return 1;
    }
}
