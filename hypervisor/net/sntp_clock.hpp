// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The sensor's clock: firmware time and TSC at first, then SNTP once a minute with the TSC
// in between. poll() is for one caller at a time (Sender::set_task); everything that
// core::Clock promises may be called on any CPU at any time.
#include <array>
#include <atomic>
#include <cstdint>

#include "hypervisor/core/clock.hpp"
#include "hypervisor/core/counters.hpp"
#include "hypervisor/net/poll_task.hpp"
#include "hypervisor/net/sntp_message.hpp"
#include "hypervisor/net/time_line.hpp"
#include "hypervisor/net/time_server_port.hpp"

namespace undercroft::net {

class SntpClock final : public core::Clock, public PollTask {
public:
    struct Options {
        std::uint32_t interval_s = 60; ///< 1 ... 86400
        std::uint64_t random_seed = 1; ///< cookies; differs from boot to boot
    };

    /// `start` gives the TSC, its measured rate and the firmware's time.
    SntpClock(core::Clock const& start, Options const& options, core::Counters& counters);
    SntpClock(SntpClock const&) = delete;
    SntpClock& operator=(SntpClock const&) = delete;

    /// Without a server the firmware's time goes on.
    void set_server(TimeServerPort& server) { server_ = &server; }
    /// Asks when it is time, takes the answer when there is one. Never waits.
    void poll(Tsc now) override;

    [[nodiscard]] Tsc tsc() const override { return start_->tsc(); }
    [[nodiscard]] std::uint64_t tsc_hz() const override { return hz_; }
    [[nodiscard]] UtcNs utc(Tsc at) const override { return line_.utc(at); }
    [[nodiscard]] bool synchronised() const override { return synchronised_.load(std::memory_order_acquire); }

    /// A question is open: somebody should look for its answer soon, because the time until then is taken for the way.
    [[nodiscard]] bool asking() const { return asking_.load(std::memory_order_relaxed); }
    /// Estimated error of tsc_hz, in parts per billion; positive: the TSC is faster than measured.
    [[nodiscard]] std::int64_t frequency_error_ppb() const;

private:
    /// What one accepted answer says: at this TSC it was that time.
    struct Sample {
        Tsc at{};
        UtcNs utc{};
        std::uint64_t delay = 0; ///< round trip in ticks: half of it bounds the error
    };
    static constexpr std::size_t history = 16;

    void ask(Tsc now);
    void take(std::span<std::uint8_t const> datagram, Tsc arrived);
    void accept(Sample const& sample, Tsc now);
    /// The offset less what the answer's delay, compared with the quickest, leaves in doubt.
    [[nodiscard]] std::int64_t certain_part(std::int64_t offset, Sample const& sample) const;
    [[nodiscard]] bool confirmed_step(std::int64_t offset, Tsc now);
    /// Answers lie on one straight line that is not ours: tsc_hz was measured wrongly, and their rate becomes ours.
    [[nodiscard]] bool rate_corrected(Sample const& newest);
    /// 0: they do not say that.
    [[nodiscard]] std::uint64_t rate_of_line(Sample const& first, Sample const& middle, Sample const& last) const;
    void close_question();
    void remember(Sample const& sample);
    void estimate_rate();
    void step(Tsc now, std::int64_t offset);
    void slew(Tsc now, std::int64_t offset);
    [[nodiscard]] std::uint64_t ticks(std::uint64_t milliseconds) const { return hz_ / 1000 * milliseconds; }

    core::Clock const* start_;
    TimeServerPort* server_ = nullptr;
    core::Counters* counters_;
    std::uint64_t hz_;
    std::uint64_t measured_rate_; ///< from tsc_hz
    std::uint64_t trusted_rate_;  ///< the same until answers disprove it; rate_ stays near it
    std::uint64_t rate_;          ///< corrected by answers
    TimeLine line_;
    std::atomic<bool> synchronised_{false};
    std::atomic<bool> asking_{false};

    std::uint32_t interval_s_;
    std::uint32_t wait_s_ = 0;  ///< until the next question
    std::uint32_t penalty_ = 0; ///< kisses of death: each doubles the interval
    std::uint64_t random_;
    std::uint64_t cookie_ = 0; ///< of the open question; 0: none
    Tsc asked_{};
    Tsc next_{};
    unsigned answers_ = 0;
    unsigned unanswered_ = 0;
    bool step_suspected_ = false; ///< one answer was far off; another one must agree
    std::int64_t suspected_offset_ = 0;
    std::array<Sample, history> samples_{};
    std::size_t sample_count_ = 0;
    std::array<Sample, history> latest_{}; ///< since the last jump of the server's clock, the newest last
    std::size_t latest_count_ = 0;
};

} // namespace undercroft::net
