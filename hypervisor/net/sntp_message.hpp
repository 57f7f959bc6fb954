// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// SNTP messages (RFC 4330 section 4, RFC 5905 section 7.3): a request, and the checks of an answer.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/units.hpp"

namespace undercroft::net {

inline constexpr std::size_t sntp_bytes = 48;

/// A client's request. `cookie` goes where the transmit time would: the server sends it
/// back, which proves that the answer belongs to this request, and tells it nothing.
[[nodiscard]] std::array<std::uint8_t, sntp_bytes> make_sntp_request(std::uint64_t cookie);

enum class SntpVerdict : std::uint8_t {
    good,
    bad,       ///< counted, otherwise ignored: the true answer may still come
    slow_down, ///< kiss-o'-death RATE
    go_away,   ///< kiss-o'-death DENY, RSTR and any other
};

struct SntpAnswer {
    SntpVerdict verdict = SntpVerdict::bad;
    UtcNs received{};    ///< at the server
    UtcNs transmitted{}; ///< by the server
};

/// Judges a datagram as the answer to the request with `cookie`. `about` is our own idea of
/// the time; it picks the NTP era (2036 and later), so it must be right to 68 years.
[[nodiscard]] SntpAnswer judge_sntp_answer(std::span<std::uint8_t const> datagram, std::uint64_t cookie, UtcNs about);

/// 64-bit NTP timestamp to UTC, in the era that brings it nearest to `about`.
[[nodiscard]] UtcNs ntp_to_utc(std::uint64_t timestamp, UtcNs about);

} // namespace undercroft::net
