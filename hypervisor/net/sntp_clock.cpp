// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/net/sntp_clock.hpp"

#include <algorithm>

#include "base/mul_div.hpp"
#include "hypervisor/core/log.hpp"

namespace undercroft::net {

using wire::CounterId;

namespace {

constexpr std::uint64_t second_ns = 1'000'000'000, millisecond_ns = 1'000'000;
constexpr std::uint64_t rate_one = std::uint64_t{1} << TimeLine::rate_shift;
constexpr std::uint64_t step_threshold_ns = 128 * millisecond_ns; // RFC 5905 STEPT
constexpr std::uint64_t agreement_ns = 64 * millisecond_ns;
constexpr std::uint64_t slew_divisor = 200; // at most 5,000 ppm
constexpr std::uint64_t answer_timeout_ms = 2000;
constexpr std::uint64_t max_round_trip_ms = 500; // worse answers say too little
constexpr std::uint64_t min_baseline_ms = 20'000, min_spacing_ms = 4000;
constexpr std::uint64_t max_rate_error_ppm = 1000; // of a trusted rate: beyond it the estimate is wrong, not the TSC
// A firmware's delay loop that was disturbed took longer, never shorter: so the TSC is slower than it seemed. Faster is
// only what rounding and poor timers make it.
constexpr std::uint64_t max_slower_factor = 4, max_faster_divisor = 4;
constexpr unsigned first_answers = 4; // these come quickly one after the other
constexpr std::uint32_t quick_wait_s = 2, refused_wait_s = 3600;
constexpr std::uint32_t max_penalty = 6;

std::uint64_t magnitude(std::int64_t value)
{
    return value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
}

UtcNs moved(UtcNs utc, std::int64_t by)
{
    return UtcNs{utc.value + static_cast<std::uint64_t>(by)};
}

} // namespace

SntpClock::SntpClock(core::Clock const& start, Options const& options, core::Counters& counters)
    : start_{&start}, counters_{&counters}, hz_{start.tsc_hz()},
      measured_rate_{mul_div(second_ns, rate_one, start.tsc_hz())}, trusted_rate_{measured_rate_},
      rate_{measured_rate_}, interval_s_{options.interval_s}, random_{options.random_seed | 1}
{
    Tsc const now = start.tsc();
    UtcNs const utc = start.utc(now);
    line_.publish({now, utc, rate_, now, utc, rate_});
}

std::int64_t SntpClock::frequency_error_ppb() const
{
    // A smaller rate (ns per tick) means more ticks per second.
    return static_cast<std::int64_t>(mul_div(measured_rate_, 1'000'000'000, rate_)) - 1'000'000'000;
}

void SntpClock::poll(Tsc now)
{
    if (server_ == nullptr)
        return;
    if (cookie_ != 0) {
        std::array<std::uint8_t, 64> datagram;
        Tsc arrived{};
        if (std::size_t const bytes = server_->take_answer(datagram, arrived); bytes != 0)
            take(std::span{datagram}.first(bytes), arrived);
        if (cookie_ != 0 && now.value > asked_.value && now.value - asked_.value > ticks(answer_timeout_ms)) {
            close_question();
            unanswered_ = std::min(unanswered_ + 1, 10U);
            wait_s_ = std::min(interval_s_, 2U << unanswered_);
            next_ = Tsc{now.value + ticks(1000) * wait_s_};
        }
    } else if (now >= next_) {
        ask(now);
    }
}

void SntpClock::ask(Tsc now)
{
    // splitmix64 (Steele et al.): not guessable without seeing our requests, which is all that the cookie is for.
    random_ += 0x9E3779B97F4A7C15ULL ^ now.value;
    std::uint64_t mixed = random_;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9ULL;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBULL;
    std::uint64_t const cookie = (mixed ^ mixed >> 31) | 1;
    auto const request = make_sntp_request(cookie);
    Tsc const sending = tsc();
    if (!server_->send_request(request)) {
        next_ = Tsc{now.value + ticks(500)};
        return;
    }
    cookie_ = cookie;
    asked_ = sending;
    asking_.store(true, std::memory_order_relaxed);
}

void SntpClock::close_question()
{
    cookie_ = 0;
    asking_.store(false, std::memory_order_relaxed);
}

void SntpClock::take(std::span<std::uint8_t const> datagram, Tsc arrived)
{
    SntpAnswer const answer = judge_sntp_answer(datagram, cookie_, utc(arrived));
    if (answer.verdict == SntpVerdict::bad) {
        counters_->add(CounterId::sntp_rejected);
        return; // anybody can send this: the question stays open
    }
    close_question();
    unanswered_ = 0;
    if (answer.verdict != SntpVerdict::good) {
        counters_->add(CounterId::sntp_rejected);
        penalty_ = std::min(penalty_ + 1, max_penalty);
        std::uint64_t const wait_s = answer.verdict == SntpVerdict::go_away
                                         ? std::max<std::uint64_t>(refused_wait_s, interval_s_)
                                         : static_cast<std::uint64_t>(interval_s_) << penalty_;
        next_ = Tsc{arrived.value + ticks(1000) * wait_s};
        core::log(core::LogLevel::warning, core::str("SNTP: the server refuses; next question in "), core::dec(wait_s),
                  core::str(" s"));
        return;
    }
    std::uint64_t const round_trip = arrived.value > asked_.value ? arrived.value - asked_.value : 0;
    std::uint64_t const at_server = mul_div(answer.transmitted.value - answer.received.value, hz_, second_ns);
    next_ = Tsc{arrived.value +
                ticks(1000) * (answers_ < first_answers ? std::min(quick_wait_s, interval_s_) : interval_s_)};
    if (at_server > round_trip + ticks(1) || round_trip > ticks(max_round_trip_ms)) {
        counters_->add(CounterId::sntp_rejected);
        return;
    }
    UtcNs const middle{answer.received.value + (answer.transmitted.value - answer.received.value) / 2};
    accept({Tsc{asked_.value + round_trip / 2}, middle, round_trip - std::min(at_server, round_trip)}, arrived);
}

void SntpClock::accept(Sample const& sample, Tsc now)
{
    ++answers_;
    counters_->add(CounterId::sntp_answers);
    auto const offset = static_cast<std::int64_t>(sample.utc.value - utc(sample.at).value);
    counters_->set(CounterId::sntp_offset_abs_ns, magnitude(offset));
    bool const far = magnitude(offset) > step_threshold_ns;
    if (rate_corrected(sample)) {
        step_suspected_ = false;
        sample_count_ = 0;
        remember(sample);
        if (far)
            step(now, offset);
        else
            slew(now, offset);
    } else if (!synchronised()) {
        // Before the first answer there is nothing to defend; but time goes back only when it must.
        remember(sample);
        if (far || offset > 0)
            step(now, offset);
        else
            slew(now, offset);
        synchronised_.store(true, std::memory_order_release);
    } else if (far) {
        if (!confirmed_step(offset, now))
            return;
        sample_count_ = latest_count_ = 0; // what was learnt of the rate belongs to the time before
        remember(sample);
        step(now, offset);
    } else {
        step_suspected_ = false;
        remember(sample);
        estimate_rate();
        slew(now, certain_part(offset, sample));
    }
}

std::int64_t SntpClock::certain_part(std::int64_t offset, Sample const& sample) const
{
    std::uint64_t quickest = sample.delay;
    for (std::size_t i = 0; i < sample_count_; ++i)
        quickest = std::min(quickest, samples_[i].delay);
    // What made this answer slower than the quickest one may have been on one way only.
    std::uint64_t const doubt = mul_div(sample.delay - quickest, second_ns, hz_) / 2;
    std::uint64_t const certain = magnitude(offset) - std::min(magnitude(offset), doubt);
    return offset < 0 ? -static_cast<std::int64_t>(certain) : static_cast<std::int64_t>(certain);
}

bool SntpClock::rate_corrected(Sample const& newest)
{
    if (latest_count_ == latest_.size()) {
        std::copy(latest_.begin() + 1, latest_.end(), latest_.begin());
        --latest_count_;
    }
    latest_[latest_count_++] = newest;
    if (latest_count_ < 3)
        return false;
    Sample const* const end = latest_.data() + latest_count_;
    std::uint64_t const rate = rate_of_line(latest_[0], latest_[latest_count_ / 2], newest);
    std::uint64_t const recent_rate = rate_of_line(end[-3], end[-2], newest);
    if (rate == 0 && recent_rate == 0)
        return false;
    rate_ = trusted_rate_ = rate != 0 ? rate : recent_rate;
    core::log(core::LogLevel::info, core::str("clock: the TSC was measured wrongly at the start: "),
              core::dec(mul_div(hz_ / 1000, measured_rate_, rate_)), core::str(" kHz, not "), core::dec(hz_ / 1000));
    return true;
}

std::uint64_t SntpClock::rate_of_line(Sample const& first, Sample const& middle, Sample const& last) const
{
    std::uint64_t const span = last.at.value - first.at.value, part = middle.at.value - first.at.value;
    // With the middle one near an end a jump of the server's clock could look like a slope.
    if (span < ticks(1000) || part < span / 4 || part > span / 4 * 3 || last.utc <= first.utc)
        return 0;
    std::uint64_t const doubt_ns =
        mul_div(first.delay + middle.delay + last.delay, second_ns, hz_) / 2 + millisecond_ns;
    std::uint64_t const line = mul_div(last.utc.value - first.utc.value, rate_one, span);
    auto const beside = [&](std::uint64_t rate, Sample const& sample) {
        UtcNs const expected = TimeLine::along(first.utc, first.at, rate, sample.at);
        return magnitude(static_cast<std::int64_t>(sample.utc.value - expected.value));
    };
    // A jump puts the middle one at least a quarter of it beside the line, less the doubt: so none passes that is
    // larger than 8 times the doubt.
    if (beside(line, middle) > doubt_ns || beside(rate_, last) <= 9 * doubt_ns)
        return 0;
    bool const possible =
        line > measured_rate_ - measured_rate_ / max_faster_divisor && line < measured_rate_ * max_slower_factor;
    return possible ? line : 0;
}

bool SntpClock::confirmed_step(std::int64_t offset, Tsc now)
{
    if (step_suspected_ && magnitude(offset - suspected_offset_) <= agreement_ns) {
        step_suspected_ = false;
        return true;
    }
    step_suspected_ = true;
    suspected_offset_ = offset;
    next_ = Tsc{now.value + ticks(1000) * std::min(quick_wait_s, interval_s_)};
    return false;
}

void SntpClock::remember(Sample const& sample)
{
    if (sample_count_ != 0 && sample.at.value - samples_[sample_count_ - 1].at.value < ticks(min_spacing_ms)) {
        // Too close to say more about the rate; the quicker of the two is the better one.
        if (sample.delay < samples_[sample_count_ - 1].delay)
            samples_[sample_count_ - 1] = sample;
        return;
    }
    if (sample_count_ == history) {
        std::copy(samples_.begin() + 1, samples_.end(), samples_.begin());
        --sample_count_;
    }
    samples_[sample_count_++] = sample;
}

void SntpClock::estimate_rate()
{
    if (sample_count_ < 2)
        return;
    // The quickest answer of each half: their paths were the least uneven.
    auto const quicker = [](Sample const& one, Sample const& other) { return one.delay < other.delay; };
    auto const middle = samples_.begin() + (sample_count_ + 1) / 2;
    Sample const& early = *std::min_element(samples_.begin(), middle, quicker);
    Sample const& late = *std::min_element(middle, samples_.begin() + sample_count_, quicker);
    std::uint64_t const baseline = late.at.value - early.at.value;
    if (baseline < ticks(min_baseline_ms) || late.utc <= early.utc)
        return;
    std::uint64_t const estimate = mul_div(late.utc.value - early.utc.value, rate_one, baseline);
    std::uint64_t const tolerance = trusted_rate_ / 1'000'000 * max_rate_error_ppm;
    if (estimate > trusted_rate_ - tolerance && estimate < trusted_rate_ + tolerance)
        rate_ = estimate;
}

void SntpClock::step(Tsc now, std::int64_t offset)
{
    UtcNs const utc_now = moved(utc(now), offset);
    line_.publish({now, utc_now, rate_, now, utc_now, rate_});
    counters_->add(CounterId::clock_steps);
    core::log(core::LogLevel::info, core::str(offset < 0 ? "clock: stepped back by " : "clock: stepped forward by "),
              core::dec(magnitude(offset) / 1000), core::str(" us"));
}

void SntpClock::slew(Tsc now, std::int64_t offset)
{
    std::uint64_t const duration_ns = std::max(magnitude(offset) * slew_divisor, second_ns);
    std::uint64_t const length = mul_div(duration_ns, rate_one, rate_);
    std::uint64_t const correction = mul_div(magnitude(offset), rate_one, length);
    std::uint64_t const slew_rate = offset < 0 ? rate_ - correction : rate_ + correction;
    UtcNs const utc_now = utc(now);
    Tsc const bend{now.value + length};
    line_.publish({now, utc_now, slew_rate, bend, TimeLine::along(utc_now, now, slew_rate, bend), rate_});
}

} // namespace undercroft::net
