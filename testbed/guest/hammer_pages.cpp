// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// hammer_pages PAGES TURNS TURN-MS: two CPUs store to the same pages without a pause; in turn t page p belongs to CPU
// (p + t) % 2 alone, and both have stored to all of them before. A translation that a CPU keeps although the page was
// armed again shows as a cycle in which a page that is stored to all the time has no record.
// Prints {"addresses": [...], "markers": [...]}, waits for a line, hammers, prints {"stores": [cpu 0, cpu 1],
// "moved": n, "marked": [...], "pauses": [[...], [...]]}. Markers 2 t and 2 t + 1 are stored to once, at the begin and
// the end of turn t; `marked` is the time stamp counter just before. A CPU that stood still (it was interrupted, or the
// emulator's host had no time for it) stores nothing: `pauses` has, for each CPU, page, from, to, page, from, to, ...:
// the time stamp counter before the last store to the page and after the next one, or when the CPU saw the turn's end.
#include "pages.hpp"

#include <atomic>
#include <chrono>
#include <thread>

namespace {

using namespace undercroft::guest;

constexpr std::size_t most_pauses = 50'000;
constexpr std::uint64_t pause_ticks = 1'000'000; ///< a third of a millisecond, about; a round takes a microsecond

struct Shared {
    Pages const& pages;
    std::size_t hammered;
    std::atomic<std::size_t> turn{0};
    std::atomic<bool> stop{false};
    std::atomic<int> ready{0};
};

/// One thread's.
struct Hammering {
    std::uint64_t stores = 0;
    std::vector<std::uint64_t> pauses;

    void note(std::size_t page, std::uint64_t from, std::uint64_t to)
    {
        if (to - from > pause_ticks && pauses.size() < 3 * most_pauses)
            pauses.insert(pauses.end(), {page, from, to});
    }
};

void store(Shared const& shared, std::size_t page, std::uint64_t value)
{
    *reinterpret_cast<std::uint64_t volatile*>(shared.pages.page(page) + 8 * (page % 500)) = value;
}

void hammer(Shared& shared, std::size_t cpu, Hammering& done)
{
    pin_to(static_cast<int>(cpu));
    done.pauses.assign(3 * most_pauses, 0); // present from the start
    done.pauses.clear();
    for (std::size_t page = 0; page < shared.hammered; ++page)
        store(shared, page, cpu);
    ++shared.ready;
    std::uint64_t before = __builtin_ia32_rdtsc();
    std::vector<std::uint64_t> last(shared.hammered, before);
    std::size_t turn = 0;
    auto const end_turn = [&] {
        for (std::size_t page = (cpu + turn) % 2; page < shared.hammered; page += 2)
            done.note(page, last[page], __builtin_ia32_rdtsc());
    };
    while (!shared.stop.load(std::memory_order_relaxed)) {
        if (std::size_t const now = shared.turn.load(std::memory_order_relaxed); now != turn) {
            end_turn();
            turn = now;
        }
        for (std::size_t page = (cpu + turn) % 2; page < shared.hammered; page += 2, ++done.stores) {
            store(shared, page, done.stores);
            std::uint64_t const after = __builtin_ia32_rdtsc();
            done.note(page, last[page], after);
            last[page] = before;
            before = after;
        }
    }
    end_turn();
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
    Hammering done[2];
    std::vector<std::uint64_t> marked;
    auto const mark = [&](std::size_t number) {
        marked.push_back(__builtin_ia32_rdtsc());
        store(shared, hammered + number, number);
    };
    std::thread threads[2]{std::thread{hammer, std::ref(shared), 0, std::ref(done[0])},
                           std::thread{hammer, std::ref(shared), 1, std::ref(done[1])}};
    while (shared.ready < 2)
        std::this_thread::yield();
    for (std::size_t turn = 0; turn < turns; ++turn) {
        shared.turn = turn;
        // Both threads have seen the new turn by then: one round over the pages is far shorter.
        std::this_thread::sleep_for(length / 4);
        mark(2 * turn);
        std::this_thread::sleep_for(length);
        mark(2 * turn + 1);
    }
    shared.stop = true;
    for (std::thread& thread : threads)
        thread.join();
    auto const after = pages.addresses();
    std::size_t moved = 0;
    for (std::size_t i = 0; i < after.size(); ++i)
        moved += after[i] != before[i] ? 1 : 0;
    std::printf(
        "{\"stores\": [%llu, %llu], \"moved\": %zu, \"marked\": ", static_cast<unsigned long long>(done[0].stores),
        static_cast<unsigned long long>(done[1].stores), moved);
    print_list(marked);
    std::fputs(", \"pauses\": [", stdout);
    print_list(done[0].pauses);
    std::fputs(", ", stdout);
    print_list(done[1].pauses);
    std::puts("]}");
}
