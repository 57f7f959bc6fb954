// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// touch_pages kinds|fill PAGES PASSES SEED [CPU]: touches known pages in a known order.
// Prints one JSON object per line and waits for a line on standard input before each pass:
//   {"addresses": [...], "kinds": "rwbmxn..."}   guest-physical address and kind of each page; then a pass for each
//   line
//   {"pass": 0, "order": [...], "moved": [...]}  the order of the pages; those whose address is another one afterwards
// kinds: r load, w store, b load and then store, m one instruction that does both, x call, n nothing. Page 0 is
//   stored to first in each pass and the last page last, so that a pass can be found. Page i is touched at offset
//   16 * (i % 250), once.
// fill: every page but the last tenth (kind n) is filled, 512 words from its start on, word j of page p in pass k
//   with SEED + (k << 48) + (p << 16) + j.
#include "pages.hpp"

#include <cstring>
#include <string>
#include <utility>

namespace {

using namespace undercroft::guest;

constexpr std::uint8_t return_instruction = 0xC3;

std::size_t offset_of(std::size_t page)
{
    return 16 * (page % 250);
}

void touch(std::uint8_t* page, std::size_t offset, char kind)
{
    auto* const word = reinterpret_cast<std::uint64_t*>(page + offset);
    std::uint64_t value = 0;
    switch (kind) {
    case 'r':
        __asm__ volatile("mov %1, %0" : "=r"(value) : "m"(*word));
        break;
    case 'w':
        __asm__ volatile("mov %1, %0" : "=m"(*word) : "r"(value));
        break;
    case 'b':
        __asm__ volatile("mov %1, %0\n\tmov %0, %1" : "+r"(value), "+m"(*word));
        break;
    case 'm':
        __asm__ volatile("lock addq $1, %0" : "+m"(*word));
        break;
    case 'x':
        __asm__ volatile("call *%0" : : "r"(page + offset) : "memory");
        break;
    default:
        break;
    }
}

std::string choose_kinds(bool fill, std::size_t pages, Random& random)
{
    std::string kinds(pages, 'w');
    if (fill) {
        std::memset(kinds.data() + pages - pages / 10, 'n', pages / 10);
        return kinds;
    }
    for (std::size_t i = 1; i + 1 < pages; ++i)
        kinds[i] = "rwbmxn"[random.below(6)];
    return kinds;
}

std::vector<std::size_t> choose_order(std::string const& kinds, Random& random)
{
    std::vector<std::size_t> order;
    for (std::size_t i = 1; i + 1 < kinds.size(); ++i)
        if (kinds[i] != 'n')
            order.push_back(i);
    for (std::size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1], order[random.below(i)]);
    order.insert(order.begin(), 0);
    if (kinds.back() != 'n')
        order.push_back(kinds.size() - 1);
    return order;
}

void fill_page(std::uint8_t* page, std::uint64_t value)
{
    auto* const words = reinterpret_cast<std::uint64_t volatile*>(page);
    for (std::size_t j = 0; j < page_bytes / 8; ++j)
        words[j] = value + j;
}

void run_pass(Pages const& pages, std::string const& kinds, std::vector<std::size_t> const& order, bool fill,
              std::uint64_t value)
{
    for (std::size_t const page : order) {
        if (fill)
            fill_page(pages.page(page), value + (std::uint64_t{page} << 16));
        else
            touch(pages.page(page), offset_of(page), kinds[page]);
    }
}

std::vector<std::size_t> moved_pages(Pages const& pages, std::vector<std::uint64_t> const& before)
{
    auto const now = pages.addresses();
    std::vector<std::size_t> moved;
    for (std::size_t i = 0; i < now.size(); ++i)
        if (now[i] != before[i])
            moved.push_back(i);
    return moved;
}

} // namespace

int main(int argc, char** argv)
{
    bool const fill = argc > 1 && std::strcmp(argv[1], "fill") == 0;
    if (argc < 5 || argc > 6 || (!fill && std::strcmp(argv[1], "kinds") != 0))
        return std::fputs("usage: touch_pages kinds|fill PAGES PASSES SEED [CPU]\n", stderr), 2;
    std::size_t const count = std::strtoul(argv[2], nullptr, 10);
    std::uint64_t const passes = std::strtoul(argv[3], nullptr, 10);
    std::uint64_t const seed = std::strtoul(argv[4], nullptr, 10);
    if (count < 10)
        return std::fputs("touch_pages: at least 10 pages\n", stderr), 2;
    if (argc == 6)
        pin_to(std::atoi(argv[5]));
    Pages const pages{count};
    Random random{seed};
    std::string const kinds = choose_kinds(fill, count, random);
    for (std::size_t i = 0; i < count; ++i)
        if (kinds[i] == 'x')
            pages.page(i)[offset_of(i)] = return_instruction;
    // Everything that is looked up while pages are touched is made before.
    std::vector<std::vector<std::size_t>> orders;
    for (std::uint64_t pass = 0; pass < passes; ++pass)
        orders.push_back(choose_order(kinds, random));
    auto const addresses = pages.addresses();
    std::fputs("{\"addresses\": ", stdout);
    print_list(addresses);
    std::printf(", \"kinds\": \"%s\"}\n", kinds.c_str());
    for (std::uint64_t pass = 0; pass < passes; ++pass) {
        wait_for_line();
        run_pass(pages, kinds, orders[pass], fill, seed + (pass << 48));
        std::printf("{\"pass\": %llu, \"order\": ", static_cast<unsigned long long>(pass));
        print_list(orders[pass]);
        std::fputs(", \"moved\": ", stdout);
        print_list(moved_pages(pages, addresses));
        std::fputs("}\n", stdout);
    }
    wait_for_line();
}
