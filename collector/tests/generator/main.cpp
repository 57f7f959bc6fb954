// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft-generate: sends known records to a collector as a sensor would. For tests, benchmarks and demos.
#include <fstream>
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "collector/key_ring.hpp"
#include "collector/tests/generator/sender.hpp"

namespace {

using namespace undercroft;

std::string summary(generator::SenderResult const& result)
{
    nlohmann::ordered_json gaps = nlohmann::ordered_json::array();
    for (auto const& gap : result.gaps)
        gaps.push_back({gap.first, gap.missing});
    nlohmann::ordered_json const document{
        {"complete", result.complete},
        {"records", result.records},
        {"next_sequence", result.next_sequence},
        {"slots", result.slots},
        {"datagrams", result.datagrams},
        {"resent", result.resent},
        {"acks", result.acks},
        {"acks_refused", result.acks_refused},
        {"bytes", result.bytes},
        {"seconds", result.seconds},
        {"records_per_second", static_cast<double>(result.records) / result.seconds},
        {"megabytes_per_second", static_cast<double>(result.bytes) / result.seconds / 1e6},
        {"gaps", gaps},
    };
    return document.dump() + "\n";
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"Sends known records to a collector as a sensor would"};
    generator::SenderOptions options;
    std::string key_file;
    std::string machine = "000102030405060708090a0b0c0d0e0f";
    std::string boot = "101112131415161718191a1b1c1d1e1f";
    std::string summary_file;
    app.add_option("--to", options.to, "collector")->capture_default_str();
    app.add_option("--key-file", key_file, "as for collect")->required();
    app.add_option("--machine", machine)->capture_default_str();
    app.add_option("--boot", boot)->capture_default_str();
    app.add_option("--records", options.records)->capture_default_str();
    app.add_option("--rate", options.records_per_second, "records per second; 0: no limit")->capture_default_str();
    app.add_flag("--content", options.rules.content, "full content of writes");
    app.add_option("--distinct", options.rules.distinct_blocks, "different contents per length")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    app.add_option("--seed", options.rules.seed)->capture_default_str();
    app.add_option("--slot-bytes", options.slot_bytes)->capture_default_str()->check(CLI::Range(4128, 32768));
    app.add_option("--fragment-bytes", options.fragment_bytes)->capture_default_str()->check(CLI::Range(512, 32768));
    app.add_option("--window", options.window_slots, "slots in flight")->capture_default_str();
    app.add_option("--gap-every", options.gap_every_slots, "leave out records before every so manieth slot");
    app.add_option("--summary", summary_file, "also write the summary here");
    CLI11_PARSE(app, argc, argv);
    try {
        auto const keys = collector::KeyRing::read(key_file);
        auto const machine_id = collector::id_from_hex(machine);
        auto const boot_id = collector::id_from_hex(boot);
        if (!machine_id || !boot_id || keys.find(*machine_id) == nullptr)
            throw std::runtime_error{"--machine and --boot are 32 hexadecimal digits, and the machine needs a key"};
        options.boot = {*machine_id, *boot_id};
        options.key = *keys.find(*machine_id);
        auto const result = generator::Sender{options}.run();
        std::cout << summary(result);
        if (!summary_file.empty())
            std::ofstream{summary_file} << summary(result);
        return result.complete ? 0 : 2;
    } catch (std::exception const& error) {
        std::cerr << "undercroft-generate: " << error.what() << "\n";
        return 1;
    }
}
