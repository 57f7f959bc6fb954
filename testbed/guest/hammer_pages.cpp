// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// hammer_pages PAGES TURNS TURN-MS: two CPUs store to the same pages without a pause; in turn t page p belongs to CPU
// (p + t) % 2 alone, and both have stored to all of them before. A translation that a CPU keeps although the page was
// armed again shows as a cycle in which a page that is stored to all the time has no record.
// Prints {"addresses": [...], "markers": [...]}, waits for a line, hammers, prints {"stores": [cpu 0, cpu 1],
// "moved": n}. Markers 2 t and 2 t + 1 are stored to once, at the begin and the end of turn t.
#include "pages.hpp"

#include <atomic>
#include <chrono>
#include <thread>

namespace {

using namespace undercroft::guest;

struct Shared {
    Pages const& pages;
    std::size_t hammered;
    std::atomic<std::size_t> turn{0};
    std::atomic<bool> stop{false};
    std::atomic<int> ready{0};
};

void store(Shared const& shared, std::size_t page, std::uint64_t value)
{
    *reinterpret_cast<std::uint64_t volatile*>(shared.pages.page(page) + 8 * (page % 500)) = value;
}

void hammer(Shared& shared, std::size_t cpu, std::uint64_t& stores)
{
    pin_to(static_cast<int>(cpu));
    for (std::size_t page = 0; page < shared.hammered; ++page)
        store(shared, page, cpu);
    ++shared.ready;
    while (!shared.stop.load(std::memory_order_relaxed)) {
        std::size_t const turn = shared.turn.load(std::memory_order_relaxed);
        for (std::size_t page = (cpu + turn) % 2; page < shared.hammered; page += 2, ++stores)
            store(shared, page, stores);
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 4)
        return std::fputs("usage: hammer_pages PAGES TURNS TURN-MS\n", stderr), 2;
    std::size_t const hammered = std::strtoul(argv[1], nullptr, 10);
    std::size_t const turns = std::strtoul(argv[2], nullptr, 10);
    std::chrono::milliseconds const length{std::strtol(argv[3], nullptr, 10)};
    Pages const pages{hammered + 2 * turns};
    Shared shared{.pages = pages, .hammered = hammered};
    auto const before = pages.addresses();
    auto const split = before.begin() + static_cast<std::ptrdiff_t>(hammered);
    std::fputs("{\"addresses\": ", stdout);
    print_list(std::vector(before.begin(), split));
    std::fputs(", \"markers\": ", stdout);
    print_list(std::vector(split, before.end()));
    std::fputs("}\n", stdout);
    wait_for_line();
    std::uint64_t stores[2]{};
    std::thread threads[2]{std::thread{hammer, std::ref(shared), 0, std::ref(stores[0])},
                           std::thread{hammer, std::ref(shared), 1, std::ref(stores[1])}};
    while (shared.ready < 2)
        std::this_thread::yield();
    for (std::size_t turn = 0; turn < turns; ++turn) {
        shared.turn = turn;
        // Both threads have seen the new turn by then: one round over the pages is far shorter.
        std::this_thread::sleep_for(length / 4);
        store(shared, hammered + 2 * turn, turn);
        std::this_thread::sleep_for(length);
        store(shared, hammered + 2 * turn + 1, turn);
    }
    shared.stop = true;
    for (std::thread& thread : threads)
        thread.join();
    auto const after = pages.addresses();
    std::size_t moved = 0;
    for (std::size_t i = 0; i < after.size(); ++i)
        moved += after[i] != before[i] ? 1 : 0;
    std::printf("{\"stores\": [%llu, %llu], \"moved\": %zu}\n", static_cast<unsigned long long>(stores[0]),
                static_cast<unsigned long long>(stores[1]), moved);
}
