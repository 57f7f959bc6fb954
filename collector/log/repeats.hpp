// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Which log lines are the same as one just written. Bounded memory, whatever is logged.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace undercroft::collector {

class RepeatLimiter {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds interval{10};

    /// The number of lines with this hash that were left out since the last one written (as far as
    /// it is remembered: 64 different lines are); nothing: leave this out too.
    [[nodiscard]] std::optional<std::uint64_t> pass(std::size_t hash, Clock::time_point now)
    {
        Entry* oldest = &entries_.front();
        for (Entry& entry : entries_) {
            if (entry.used && entry.hash == hash) {
                if (now - entry.written < interval) {
                    ++entry.left_out;
                    return std::nullopt;
                }
                std::uint64_t const left_out = entry.left_out;
                entry = {hash, now, 0, true};
                return left_out;
            }
            if (!entry.used || (oldest->used && entry.written < oldest->written))
                oldest = &entry;
        }
        *oldest = {hash, now, 0, true};
        return 0;
    }

private:
    struct Entry {
        std::size_t hash{};
        Clock::time_point written;
        std::uint64_t left_out{};
        bool used{};
    };
    std::array<Entry, 64> entries_{};
};

} // namespace undercroft::collector
