// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/lwip_port/port.hpp"

#include <lwip/sys.h>

#include "hypervisor/core/log.hpp"

namespace undercroft::net {
namespace {

core::Clock const* the_clock = nullptr;
core::Counters* the_counters = nullptr;
std::uint64_t random_state = 1;

} // namespace

void start_lwip_port(core::Clock const& clock, core::Counters& counters, std::uint64_t random_seed)
{
    the_clock = &clock;
    the_counters = &counters;
    random_state = random_seed | 1;
}

} // namespace undercroft::net

extern "C" {

u32_t sys_now(void)
{
    auto const* const clock = undercroft::net::the_clock;
    return static_cast<u32_t>(clock->tsc().value / (clock->tsc_hz() / 1000));
}

void undercroft_lwip_assert(char const* message)
{
    using namespace undercroft;
    constexpr std::uint64_t logged = 8; // the counter tells of the others
    if (net::the_counters != nullptr) {
        net::the_counters->add(wire::CounterId::network_asserts);
        if (net::the_counters->get(wire::CounterId::network_asserts) > logged)
            return;
    }
    core::log(core::LogLevel::error, core::str("network: lwIP: "), core::str(message));
}

/// xorshift64* (Vigna); unpredictable enough for ports and transaction ids, keys never come from here.
uint32_t undercroft_lwip_random(void)
{
    std::uint64_t& state = undercroft::net::random_state;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545F4914F6CDD1DULL) >> 32);
}
}
