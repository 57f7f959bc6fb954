// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// uc_store_fill STORE MACHINES RECORDS_EACH INTERVAL_NS: a store of known records, written by the collector's own
// writer without network and journal: for benchmarks of large stores. Prints JSON.
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "collector/store/record_file.hpp"
#include "collector/tests/generator/records.hpp"

namespace {

using namespace undercroft;

constexpr std::uint64_t records_of_a_file = std::uint64_t{4} << 20;
constexpr std::uint64_t records_of_a_slot = 1170;

struct Plan {
    collector::fs::path store;
    unsigned machines{};
    std::uint64_t records{};
    std::uint64_t interval_ns{};
};

void fill_machine(Plan const& plan, unsigned machine)
{
    generator::RecordRules const rules{.shape = generator::Shape::headers, .seed = generator::splitmix64(machine)};
    collector::BootKey boot;
    boot.machine[0] = 0x10;
    boot.machine[15] = static_cast<std::uint8_t>(machine);
    boot.boot = boot.machine;
    auto const folder = collector::stream_folder(plan.store, boot);
    for (std::uint64_t sequence = 0; sequence < plan.records;) {
        collector::RecordFile file{folder, wire::Stream::storage};
        std::uint64_t const end = std::min(plan.records, sequence + records_of_a_file);
        for (; sequence < end; ++sequence) {
            wire::Record record = generator::record_at(rules, sequence);
            std::uint64_t const jitter = (record.time_utc_ns.get() - rules.base_time_utc_ns) % plan.interval_ns;
            record.time_utc_ns = rules.base_time_utc_ns + sequence * plan.interval_ns + jitter;
            file.add(record, sequence, sequence / records_of_a_slot, std::nullopt);
        }
        static_cast<void>(file.publish());
    }
}

int fill(Plan const& plan)
{
    auto const start = std::chrono::steady_clock::now();
    collector::create_directories_durably(plan.store);
    std::ofstream{plan.store / "undercroft-store.json"} << "{\"format\": 1}\n";
    std::atomic<unsigned> next{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
        threads.emplace_back([&] {
            for (unsigned machine = next++; machine < plan.machines; machine = next++)
                fill_machine(plan, machine);
        });
    for (std::thread& thread : threads)
        thread.join();
    std::uint64_t bytes = 0;
    for (auto const& entry : collector::fs::recursive_directory_iterator{plan.store})
        bytes += entry.path().extension() == ".parquet" ? entry.file_size() : 0;
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    nlohmann::ordered_json const result{
        {"records", plan.machines * plan.records}, {"bytes", bytes}, {"seconds", seconds}};
    std::cout << result.dump() << "\n";
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 5) {
        std::cerr << "usage: uc_store_fill STORE MACHINES RECORDS_EACH INTERVAL_NS\n";
        return 2;
    }
    try {
        return fill({.store = argv[1],
                     .machines = static_cast<unsigned>(std::min(std::stoul(argv[2]), 256UL)),
                     .records = std::stoull(argv[3]),
                     .interval_ns = std::max(std::stoull(argv[4]), 1ULL)});
    } catch (std::exception const& error) {
        std::cerr << "uc_store_fill: " << error.what() << "\n";
        return 1;
    }
}
