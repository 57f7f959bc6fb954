// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/sntp_message.hpp"

#include <algorithm>

namespace undercroft::net {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t ntp_to_unix_s = 2'208'988'800; // 1900-01-01 to 1970-01-01
constexpr std::uint64_t earliest_s = 1'767'225'600;    // 2026-01-01: a dead firmware clock does not pick the era
constexpr std::size_t at_root_delay = 4, at_root_dispersion = 8, at_reference_id = 12, at_origin = 24, at_receive = 32,
                      at_transmit = 40;

std::uint64_t big_endian(std::uint8_t const* at, std::size_t bytes)
{
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
        value = value << 8 | at[i];
    return value;
}

} // namespace

std::array<std::uint8_t, sntp_bytes> make_sntp_request(std::uint64_t cookie)
{
    std::array<std::uint8_t, sntp_bytes> request{};
    request[0] = 4 << 3 | 3; // version 4, client
    for (std::size_t i = 0; i < 8; ++i)
        request[at_transmit + i] = static_cast<std::uint8_t>(cookie >> (56 - 8 * i));
    return request;
}

UtcNs ntp_to_utc(std::uint64_t timestamp, UtcNs about)
{
    constexpr std::uint64_t era = std::uint64_t{1} << 32, half_era = era / 2;
    std::uint64_t const nearby = std::max(about.value / second_ns, earliest_s) + ntp_to_unix_s; // seconds since 1900
    std::uint64_t seconds = (nearby & ~(era - 1)) | timestamp >> 32;
    if (seconds + half_era < nearby)
        seconds += era;
    else if (seconds > nearby + half_era && seconds >= era)
        seconds -= era;
    if (seconds < ntp_to_unix_s)
        return UtcNs{0};
    std::uint64_t const fraction_ns = (timestamp & 0xFFFFFFFF) * second_ns >> 32;
    return UtcNs{(seconds - ntp_to_unix_s) * second_ns + fraction_ns};
}

SntpAnswer judge_sntp_answer(std::span<std::uint8_t const> datagram, std::uint64_t cookie, UtcNs about)
{
    if (datagram.size() < sntp_bytes)
        return {};
    std::uint8_t const* const at = datagram.data();
    unsigned const leap = at[0] >> 6, version = at[0] >> 3 & 7, mode = at[0] & 7, stratum = at[1];
    // An origin that is not ours: a replay, or somebody who cannot see our requests.
    if (mode != 4 || version < 3 || version > 4 || big_endian(at + at_origin, 8) != cookie)
        return {};
    if (stratum == 0) {
        constexpr std::uint64_t rate = 0x52415445; // "RATE"
        return {big_endian(at + at_reference_id, 4) == rate ? SntpVerdict::slow_down : SntpVerdict::go_away, {}, {}};
    }
    std::uint64_t const receive = big_endian(at + at_receive, 8), transmit = big_endian(at + at_transmit, 8);
    // 16.16 seconds; RFC 5905's MAXDISP is 16 s, MAXDIST 1.5 s.
    std::uint64_t const distance = big_endian(at + at_root_delay, 4) / 2 + big_endian(at + at_root_dispersion, 4);
    if (leap == 3 || stratum > 15 || receive == 0 || transmit == 0 || distance > 0x18000)
        return {};
    SntpAnswer const answer{SntpVerdict::good, ntp_to_utc(receive, about), ntp_to_utc(transmit, about)};
    return answer.transmitted < answer.received || answer.received.value == 0 ? SntpAnswer{} : answer;
}

} // namespace undercroft::net
