// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/collect.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "collector/hdfs/uploader.hpp"
#include "collector/intake.hpp"
#include "collector/report.hpp"

namespace undercroft::collector {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Time from a slot's arrival to the commit that makes it durable, at most (plus the disk's own time).
constexpr auto commit_interval = 10ms;
constexpr std::size_t commit_bytes = std::size_t{4} << 20;
constexpr auto retry_interval = 250ms;
constexpr auto complaint_interval = 5s;
constexpr int batches_per_round = 16;

std::uint64_t utc_now_ns()
{
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count());
}

/// SIGINT and SIGTERM as something to poll. Must exist before any thread.
class StopSignals {
public:
    StopSignals()
    {
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, SIGINT);
        ::sigaddset(&set, SIGTERM);
        ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
        fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    ~StopSignals() { ::close(fd_); }
    StopSignals(StopSignals const&) = delete;
    StopSignals& operator=(StopSignals const&) = delete;
    [[nodiscard]] int fd() const { return fd_; }

private:
    int fd_;
};

std::unique_ptr<HdfsUploader> make_uploader(CollectOptions const& options)
{
    if (options.hdfs.url.empty())
        return nullptr;
    return std::make_unique<HdfsUploader>(options.store.folder, options.hdfs);
}

StoreOptions observed_by(StoreOptions options, ClosedFileObserver* observer)
{
    options.observer = observer;
    return options;
}

class Collector {
public:
    explicit Collector(CollectOptions const& options)
        : options_{options}, socket_{options.listen, options.receive_buffer_bytes}, hdfs_{make_uploader(options)},
          store_{observed_by(options.store, hdfs_.get())},
          intake_{KeyRing::read(options.key_file), options.machines, store_, counters_}
    {
    }

    int run(StopSignals const& signals);

private:
    void announce();
    [[nodiscard]] bool wait(StopSignals const& signals) const;
    void receive();
    void take(Socket::Datagram const& datagram, std::uint64_t now_utc_ns);
    void commit_and_acknowledge(Clock::time_point now);
    void commit_done();
    void commit_failed(Clock::time_point now);
    void every_second(Clock::time_point now);
    void write_metrics();
    [[nodiscard]] bool idle_too_long(Clock::time_point now) const;
    int finish();
    void finish_upload();

    CollectOptions const& options_;
    Counters counters_;
    Socket socket_;
    std::unique_ptr<HdfsUploader> hdfs_; ///< null: no copy; outlives the store, which tells it of files
    Store store_;
    Intake intake_;
    RefusedSenders refused_;
    ProgressLine progress_;
    bool traffic_ = false;
    bool store_failing_ = false;
    Clock::time_point last_traffic_{};
    Clock::time_point next_round_{};
    Clock::time_point next_attempt_{};
    Clock::time_point next_complaint_{};
    Clock::time_point last_second_ = Clock::now();
};

void Collector::announce()
{
    fmt::print("listening on {}, store {}\n", socket_.local_address(), options_.store.folder.string());
    std::fflush(stdout);
    // The kernel doubles what was asked for, for its own overhead.
    if (socket_.receive_buffer_bytes() < options_.receive_buffer_bytes)
        spdlog::warn("the kernel grants a receive buffer of {} KiB only; bursts may be dropped (counted, and sent "
                     "again by the sensor). To allow more: sysctl net.core.rmem_max={}",
                     socket_.receive_buffer_bytes() / 1024, options_.receive_buffer_bytes);
    if (!options_.ready_file.empty())
        replace_file(options_.ready_file, socket_.local_address() + "\n", false);
}

int Collector::run(StopSignals const& signals)
{
    announce();
    while (wait(signals)) {
        receive();
        auto const now = Clock::now();
        commit_and_acknowledge(now);
        store_.roll_if_due(now);
        if (now - last_second_ >= 1s)
            every_second(now);
        if (idle_too_long(now))
            break;
    }
    return finish();
}

/// Until there is something to read or to do. False: a signal asks to stop.
bool Collector::wait(StopSignals const& signals) const
{
    pollfd descriptors[3] = {{socket_.fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}, {store_.commit_event(), POLLIN, 0}};
    bool const acks_wait = intake_.acks_due() || store_.pending_bytes() > 0;
    int const timeout_ms = acks_wait ? static_cast<int>(commit_interval.count()) : 100;
    if (::poll(descriptors, 3, timeout_ms) < 0)
        return errno == EINTR;
    return (descriptors[1].revents & POLLIN) == 0;
}

void Collector::receive()
{
    for (int round = 0; round < batches_per_round; ++round) {
        std::size_t const count = socket_.receive();
        if (count == 0)
            break;
        std::uint64_t const now_utc_ns = utc_now_ns();
        for (std::size_t i = 0; i < count; ++i)
            take(socket_.datagram(i), now_utc_ns);
        if (store_.pending_bytes() >= commit_bytes)
            break;
    }
    counters_.add(Counter::kernel_dropped, socket_.take_kernel_dropped());
}

void Collector::take(Socket::Datagram const& datagram, std::uint64_t now_utc_ns)
{
    counters_.add(Counter::datagrams_received);
    counters_.add(Counter::bytes_received, datagram.bytes.size());
    if (datagram.truncated) {
        counters_.add(Counter::datagram_truncated);
        return;
    }
    auto const now = Clock::now();
    if (intake_.take(datagram.bytes, datagram.from, now_utc_ns) == Intake::Verdict::accepted) {
        traffic_ = true;
        last_traffic_ = now;
        return;
    }
    std::string const hint = refused_.note(datagram.from, intake_.reject(), now);
    if (!hint.empty())
        spdlog::warn("{}", hint);
}

void Collector::commit_and_acknowledge(Clock::time_point now)
{
    if (auto const state = store_.take_commit_state(); state == Store::CommitState::done)
        commit_done();
    else if (state == Store::CommitState::failed)
        commit_failed(now);
    if (now < next_round_ && store_.pending_bytes() < commit_bytes)
        return;
    if (now >= next_round_) {
        intake_.acknowledge(socket_);
        next_round_ = now + commit_interval;
    }
    if (now >= next_attempt_ && store_.start_commit())
        intake_.commit_started();
}

void Collector::commit_done()
{
    counters_.add(Counter::commits);
    intake_.commit_finished();
    intake_.acknowledge(socket_);
    if (std::exchange(store_failing_, false)) {
        spdlog::warn("the store can be written again");
        intake_.retry(utc_now_ns());
    }
}

void Collector::commit_failed(Clock::time_point now)
{
    counters_.add(Counter::store_errors);
    store_failing_ = true;
    next_attempt_ = now + retry_interval;
    if (now < next_complaint_)
        return;
    next_complaint_ = now + complaint_interval;
    spdlog::error("{}. Nothing more is acknowledged until the store can be written; the sensors keep what they have "
                  "as long as their buffers last",
                  store_.error());
}

void Collector::every_second(Clock::time_point now)
{
    double const seconds = std::chrono::duration<double>(now - last_second_).count();
    last_second_ = now;
    bool const terminal = ::isatty(STDERR_FILENO) != 0;
    if (options_.progress || terminal) {
        fmt::print(stderr, "{}{}{}", terminal ? "\r\033[K" : "", progress_.make(counters_, store_.backlog(), seconds),
                   terminal ? "" : "\n");
        std::fflush(stderr);
    }
    write_metrics();
}

void Collector::write_metrics()
{
    if (options_.metrics_file.empty())
        return;
    try {
        replace_file(options_.metrics_file, metrics_json(counters_, store_.totals(), store_.backlog(), hdfs_.get()),
                     false);
    } catch (StoreError const& error) {
        spdlog::warn("metrics: {}", error.what());
    }
}

bool Collector::idle_too_long(Clock::time_point now) const
{
    return options_.exit_after_idle_s && traffic_ &&
           std::chrono::duration<double>(now - last_traffic_).count() >= *options_.exit_after_idle_s;
}

void Collector::finish_upload()
{
    if (!hdfs_)
        return;
    std::size_t const left = hdfs_->finish(options_.hdfs.drain_time, options_.hdfs.drain_time);
    HdfsFigures const figures = hdfs_->figures();
    spdlog::info("HDFS: {} files, {} bytes uploaded", figures.files_uploaded, figures.bytes_uploaded);
    if (left != 0)
        spdlog::warn("HDFS: {} files are not there yet{}{}; the next start goes on with them", left,
                     figures.last_error.empty() ? "" : ": ", figures.last_error);
}

int Collector::finish()
{
    receive();
    // The batch on its way, then the rest; both are acknowledged before the sensors lose sight of this collector.
    bool complete = store_.commit();
    if (complete) {
        intake_.commit_finished();
        intake_.commit_started();
        intake_.commit_finished();
        intake_.acknowledge(socket_);
    }
    complete = store_.close() && complete;
    finish_upload();
    write_metrics();
    if (::isatty(STDERR_FILENO) != 0)
        fmt::print(stderr, "\n");
    fmt::print("{}", totals_text(counters_, store_.totals()));
    std::fflush(stdout);
    if (!complete)
        spdlog::error("stopped, but not everything is in Parquet yet: {}. What was acknowledged is in the journal; the "
                      "next start of collect on this store finishes it",
                      store_.error());
    return complete ? 0 : 3;
}

void raise_open_files_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
    }
}

} // namespace

int run_collect(CollectOptions const& options)
{
    // stdout carries the results, stderr the log.
    spdlog::set_default_logger(spdlog::stderr_color_mt("collect"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    raise_open_files_limit();
    try {
        StopSignals const signals;
        Collector collector{options};
        return collector.run(signals);
    } catch (std::exception const& error) {
        spdlog::error("{}", error.what());
        return 1;
    }
}

} // namespace undercroft::collector
