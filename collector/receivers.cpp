// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/receivers.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "collector/log/log.hpp"
#include "collector/report.hpp"

namespace undercroft::collector {
namespace {

using namespace std::chrono_literals;

constexpr int batches_per_round = 16; ///< before acknowledgements and commits get their turn
constexpr unsigned most_threads = 8;
constexpr auto drops_interval = 100ms;
constexpr auto idle_wait = 100ms;

std::uint64_t utc_now_ns()
{
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count());
}

} // namespace

Event::Event() : fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}
{
    if (fd_ < 0)
        throw SocketError{"cannot make an event: too many open files?"};
}

Event::~Event()
{
    ::close(fd_);
}

void Event::set() const
{
    std::uint64_t const one = 1;
    static_cast<void>(::write(fd_, &one, sizeof(one)));
}

void Event::clear() const
{
    std::uint64_t count = 0;
    static_cast<void>(::read(fd_, &count, sizeof(count)));
}

/// What one thread does.
class Receivers::Loop {
public:
    Loop(Receivers& all, std::size_t index, Intake& intake, Store& store, Event const& work)
        : all_{all}, socket_{*all.sockets_[index]}, counters_{*all.counters_[index]}, lane_{counters_}, intake_{intake},
          store_{store}, work_{work}
    {
    }

    void run()
    {
        ::pthread_setname_np(::pthread_self(), "receive");
        while (wait())
            round();
        round();
        intake_.acknowledge(lane_, socket_);
    }

private:
    /// False: the end.
    [[nodiscard]] bool wait() const
    {
        pollfd descriptors[2] = {{socket_.fd(), POLLIN, 0}, {all_.stop_.fd(), POLLIN, 0}};
        auto const timeout = lane_.acks_due() ? all_.options_.ack_interval : idle_wait;
        static_cast<void>(::poll(descriptors, 2, static_cast<int>(timeout.count())));
        return (descriptors[1].revents & POLLIN) == 0;
    }

    void round()
    {
        for (int batch = 0; batch < batches_per_round; ++batch) {
            std::size_t const count = socket_.receive();
            if (count == 0)
                break;
            take(count);
            if (store_.pending_bytes() > 0)
                work_.set();
        }
        auto const now = Clock::now();
        if (now >= next_acks_) {
            intake_.acknowledge(lane_, socket_);
            next_acks_ = now + all_.options_.ack_interval;
        }
        if (now >= next_drops_) {
            counters_.add(Counter::kernel_dropped, socket_.take_kernel_dropped());
            next_drops_ = now + drops_interval;
        }
    }

    void take(std::size_t count)
    {
        std::uint64_t const now_utc_ns = utc_now_ns();
        std::uint64_t bytes = 0;
        bool accepted = false;
        for (std::size_t i = 0; i < count; ++i) {
            auto const datagram = socket_.datagram(i);
            bytes += datagram.bytes.size();
            accepted = take_one(datagram, now_utc_ns) || accepted;
        }
        counters_.add(Counter::datagrams_received, count);
        counters_.add(Counter::bytes_received, bytes);
        if (accepted)
            all_.last_traffic_ = Clock::now().time_since_epoch().count();
    }

    [[nodiscard]] bool take_one(Socket::Datagram const& datagram, std::uint64_t now_utc_ns)
    {
        if (datagram.truncated) {
            counters_.add(Counter::datagram_truncated);
            return false;
        }
        try {
            if (intake_.take(lane_, datagram.bytes, datagram.from, now_utc_ns) == Intake::Verdict::accepted)
                return true;
        } catch (std::exception const& error) {
            // The store cannot be read just now; the sensor sends it again.
            counters_.add(Counter::store_errors);
            log_event(spdlog::level::err, "datagram_not_taken", error.what(), {.peer = datagram.from.text()});
            return false;
        }
        std::string const hint = refused_.note(datagram.from, lane_.reject(), Clock::now());
        if (!hint.empty())
            log_event(spdlog::level::warn, "sender_refused", hint, {.peer = datagram.from.text()});
        return false;
    }

    Receivers& all_;
    Socket& socket_;
    Counters& counters_;
    Intake::Lane lane_;
    Intake& intake_;
    Store& store_;
    Event const& work_;
    RefusedSenders refused_;
    Clock::time_point next_acks_{};
    Clock::time_point next_drops_{};
};

Receivers::Receivers(ReceiverOptions options) : options_{std::move(options)}
{
    unsigned const processors = std::max(1U, std::thread::hardware_concurrency());
    unsigned const half = std::clamp(processors / 2, std::min(processors, 2U), most_threads);
    unsigned const threads = options_.threads == 0 ? half : options_.threads;
    std::string listen = options_.listen;
    // Sockets that share a port would also share it with another collector; one that does not share finds it out.
    if (threads > 1)
        listen = Socket{listen, 1 << 16}.local_address();
    for (unsigned i = 0; i < threads; ++i) {
        sockets_.push_back(std::make_unique<Socket>(
            listen, SocketOptions{.receive_buffer_bytes = options_.receive_buffer_bytes, .share_port = threads > 1}));
        counters_.push_back(std::make_unique<Counters>());
    }
    if (int const granted = sockets_.front()->receive_buffer_bytes(); granted < options_.receive_buffer_bytes)
        log_event(
            spdlog::level::warn, "receive_buffer_small",
            fmt::format("the kernel grants a receive buffer of {} KiB only; bursts may be dropped (counted, and sent "
                        "again by the sensor). To allow more: sysctl net.core.rmem_max={}",
                        granted / 1024, options_.receive_buffer_bytes));
}

Receivers::~Receivers()
{
    stop();
}

void Receivers::start(Intake& intake, Store& store, Event const& work)
{
    for (std::size_t i = 0; i < sockets_.size(); ++i)
        threads_.emplace_back([this, i, &intake, &store, &work] { Loop{*this, i, intake, store, work}.run(); });
}

void Receivers::stop()
{
    stop_.set();
    for (std::thread& thread : threads_)
        thread.join();
    threads_.clear();
}

CounterValues Receivers::counters() const
{
    CounterValues sum{};
    for (auto const& one : counters_)
        for (std::size_t i = 0; i < counter_count; ++i)
            sum[i] += one->at(i);
    return sum;
}

std::optional<Receivers::Clock::time_point> Receivers::last_traffic() const
{
    Clock::rep const ticks = last_traffic_;
    if (ticks == 0)
        return std::nullopt;
    return Clock::time_point{Clock::duration{ticks}};
}

} // namespace undercroft::collector
