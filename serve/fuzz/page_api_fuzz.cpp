// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Somebody who knows the token asks anything, of a small store. Input: a byte that chooses how the target is made, one
// line of target, a body.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <thread>

#include <nlohmann/json.hpp>

#include "collector/store/content_file.hpp"
#include "collector/store/record_file.hpp"
#include "collector/tests/store_folder.hpp"
#include "serve/api/api.hpp"
#include "serve/http/gate.hpp"
#include "wire/memory.hpp"

namespace {

using namespace undercroft;
using namespace undercroft::serve;

constexpr std::uint64_t start_ns = 1'700'000'000'000'000'000;
constexpr std::string_view token = "0123456789abcdef0123456789abcdef-not-to-be-guessed";
constexpr std::string_view known_boot =
    "machine=11111111111111111111111111111111&boot=22222222222222222222222222222222&";
constexpr std::string_view known_time = "from_ns=1700000000000000000&to_ns=1700000009000000000&";
constexpr std::string_view known_tile = "time_shift=26&column=25331974&columns=256&block_shift=0&row=0&rows=128&";
constexpr std::array<std::string_view, 10> names{"state",  "stream", "tile",  "features", "records",
                                                 "alerts", "scores", "block", "content",  "pages"};
constexpr std::size_t most_answer_bytes = std::size_t{32} << 20;
constexpr unsigned rows = 500;

collector::BootKey boot_key()
{
    collector::BootKey key;
    key.machine.fill(0x11);
    key.boot.fill(0x22);
    return key;
}

void fill_disk(collector::fs::path const& store, collector::ContentFile& contents)
{
    collector::RecordFile file{collector::stream_folder(store, boot_key()), wire::Stream::storage};
    std::array<std::uint8_t, 4096> block{};
    for (unsigned i = 0; i < rows; ++i) {
        bool const write = i % 3 != 0;
        wire::Record record{};
        record.time_utc_ns = std::uint64_t{start_ns + i * 20'000'000ULL};
        record.address = std::uint64_t{i * 7919ULL % 65536};
        record.length = write ? 4096U : 512U * (i % 64);
        record.kind = static_cast<std::uint8_t>(write ? wire::Kind::storage_write : wire::Kind::storage_read);
        record.flags =
            static_cast<std::uint16_t>(wire::record_flag::first_of_request | wire::record_flag::last_of_request |
                                       (write ? wire::record_flag::has_entropy | wire::record_flag::has_content : 0U));
        record.entropy = static_cast<std::uint16_t>(i * 131);
        std::memcpy(block.data(), &i, sizeof i);
        file.add(record, i, i / 16, write ? std::optional{contents.add(block).hash} : std::nullopt);
    }
    file.publish();
}

void fill_memory(collector::fs::path const& store)
{
    collector::RecordFile file{collector::stream_folder(store, boot_key(), wire::Stream::memory), wire::Stream::memory};
    std::uint64_t sequence = 0;
    auto const add = [&](wire::Kind kind, std::uint64_t address, std::uint32_t length, std::uint16_t source,
                         std::string_view request = {}) {
        wire::Record record{};
        record.time_utc_ns = std::uint64_t{start_ns + sequence * 20'000'000ULL};
        record.address = address;
        record.length = length;
        record.kind = static_cast<std::uint8_t>(kind);
        record.source = source;
        record.page_class = static_cast<std::uint8_t>(wire::PageClass::page_4k);
        record.flags = static_cast<std::uint16_t>(wire::record_flag::has_entropy);
        record.entropy = static_cast<std::uint16_t>(sequence * 131);
        file.add(record, sequence, sequence / 16, std::nullopt, request);
        ++sequence;
    };
    add(wire::Kind::memory_mode, 0, 48, 2, R"({"mode":"written","action":"start","flags":[]})");
    add(wire::Kind::memory_region, 0x100000, 0x1000000, 0);
    add(wire::Kind::memory_armed, 0x100000, 0x1000000, 2);
    for (unsigned i = 0; i < rows; ++i)
        add(i % 5 == 0 ? wire::Kind::memory_read : wire::Kind::memory_write, 0x100000 + i % 97 * 4096ULL, 4096, 0);
    file.publish();
}

/// The store, its index and what answers; made once.
struct Site {
    collector::test::StoreFolder folder;
    std::unique_ptr<StoreIndex> index;
    std::unique_ptr<Api> api;
    std::unique_ptr<Gate> gate;

    Site()
    {
        std::ofstream{folder.path() / "undercroft-store.json"} << R"({"format": 1})";
        collector::HashIndex hashes{1024};
        collector::ContentFile contents{folder.path(), 1, hashes};
        fill_disk(folder.path(), contents);
        contents.publish();
        fill_memory(folder.path());
        std::filesystem::create_directories(folder.path() / "page-index");
        index = std::make_unique<StoreIndex>(
            StoreIndexOptions{.store = folder.path(), .folder = folder.path() / "page-index"});
        BootName const boot{.machine = std::string(32, '1'), .boot = std::string(32, '2')};
        for (int tries = 0; tries < 1000; ++tries) {
            auto const found = index->find(boot);
            if (found && !found->storage.view().files.empty() && !found->memory.view().files.empty())
                break;
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        if (!index->find(boot) || !index->problems().empty())
            std::abort();
        ApiOptions options{.link = {}, .layouts = {}, .tile_cache_bytes = std::size_t{1} << 20};
        options.link.command = [](collector::ControlCall const& call) {
            collector::ControlReply reply{};
            reply.outcome =
                static_cast<std::uint16_t>(call.command.get() % 4); // some of the answers that a collector gives
            return reply;
        };
        api = std::make_unique<Api>(*index, std::move(options));
        gate = std::make_unique<Gate>(GateOptions{.token = std::string{token}, .hosts = {}},
                                      [this](Request const& request) { return (*api)(request); });
    }
};

void check(Reply const& reply)
{
    constexpr std::array<unsigned, 11> expected{200, 302, 303, 400, 401, 403, 404, 405, 409, 502, 503};
    if (std::ranges::find(expected, reply.status) == expected.end() || reply.body.size() > most_answer_bytes)
        std::abort();
    if (reply.content_type == "application/json" && !reply.body.empty() && !nlohmann::json::accept(reply.body))
        std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    static Site const site;
    if (size == 0)
        return 0;
    std::uint8_t const choice = data[0];
    std::string_view text{reinterpret_cast<char const*>(data + 1), size - 1};
    std::size_t const end = std::min(text.find('\n'), text.size());
    std::string target{text.substr(0, end)};
    text.remove_prefix(std::min(end + 1, text.size()));
    // Otherwise hardly an input would name the boot, and have what else must be there.
    if (choice >= 64) {
        std::string prefix = "/api/" + std::string{names.at(choice % names.size())} + "?";
        if (choice >= 96)
            prefix += known_boot;
        if (choice >= 160)
            prefix += known_time;
        if (choice >= 208)
            prefix += known_tile;
        target = prefix + target;
        if (target.ends_with('&'))
            target.pop_back();
    }
    Request request;
    request.method = choice < 32 ? Method::post : Method::get;
    auto parsed = parse_target(choice < 32 ? "/api/control" : target);
    if (!parsed)
        return 0;
    request.target = std::move(*parsed);
    request.host = "localhost";
    request.authorization = "Bearer " + std::string{token};
    request.content_type = "application/json";
    request.body = choice < 32 ? target + std::string{text} : std::string{};
    check((*site.gate)(request));
    return 0;
}
