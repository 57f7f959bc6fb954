// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/collect.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "collector/control/desk.hpp"
#include "collector/control/server.hpp"
#include "collector/hdfs/metrics.hpp"
#include "collector/hdfs/uploader.hpp"
#include "collector/intake.hpp"
#include "collector/log/log.hpp"
#include "collector/receivers.hpp"
#include "collector/report.hpp"
#include "collector/store/parquet_file.hpp"

namespace undercroft::collector {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t commit_bytes = std::size_t{4} << 20; ///< do not wait longer with so much
constexpr auto retry_interval = 250ms;
constexpr auto complaint_interval = 5s;

std::uint64_t utc_now_ns()
{
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count());
}

/// SIGINT, SIGTERM and SIGHUP as something to poll. Must exist before any thread.
class Signals {
public:
    Signals()
    {
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, SIGINT);
        ::sigaddset(&set, SIGTERM);
        ::sigaddset(&set, SIGHUP);
        ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
        fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    ~Signals() { ::close(fd_); }
    Signals(Signals const&) = delete;
    Signals& operator=(Signals const&) = delete;
    [[nodiscard]] int fd() const { return fd_; }
    /// The signal that has come, or 0.
    [[nodiscard]] std::uint32_t take() const
    {
        signalfd_siginfo signal{};
        return ::read(fd_, &signal, sizeof(signal)) == sizeof(signal) ? signal.ssi_signo : 0;
    }

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

/// Receiving threads fill the store; this one makes batches durable and keeps an eye on everything.
class Collector final : public SnapshotSource {
public:
    explicit Collector(CollectOptions const& options)
        : options_{options}, receivers_{{.listen = options.listen,
                                         .receive_buffer_bytes = options.receive_buffer_bytes,
                                         .threads = options.receive_threads}},
          hdfs_{make_uploader(options)}, store_{observed_by(options.store, hdfs_.get())},
          intake_{KeyRing::read(options.key_file), options.machines, store_}
    {
    }

    ~Collector() { receivers_.stop(); } // they use everything else
    Collector(Collector const&) = delete;
    Collector& operator=(Collector const&) = delete;

    int run(Signals const& signals, Surroundings& surroundings);
    [[nodiscard]] CollectorSnapshot snapshot() const override;

private:
    void announce();
    [[nodiscard]] ControlReply command(ControlCall const& call);
    void start_companions();
    [[nodiscard]] bool wait(Signals const& signals);
    void read_keys_again();
    void commit(Clock::time_point now);
    void commit_done();
    void commit_failed(Clock::time_point now);
    void every_second(Clock::time_point now);
    [[nodiscard]] CounterValues counters() const;
    void write_metrics();
    [[nodiscard]] bool idle_too_long(Clock::time_point now) const;
    int finish();
    void finish_upload();

    CollectOptions const& options_;
    Counters counters_; ///< of this thread
    Event work_;
    Receivers receivers_;
    std::unique_ptr<HdfsUploader> hdfs_; ///< null: no copy; outlives the store, which tells it of files
    Store store_;
    Intake intake_;
    Intake::Lane lane_{counters_};
    Counters control_counters_;
    Intake::Lane control_lane_{control_counters_};
    std::optional<ControlServer> control_;
    std::mutex control_mutex_; ///< one call at a time, by whichever way it came
    std::vector<std::unique_ptr<Companion>> companions_;
    ProgressLine progress_;
    bool store_failing_ = false;
    Clock::time_point next_commit_{};
    Clock::time_point next_attempt_{};
    Clock::time_point next_complaint_{};
    Clock::time_point last_second_ = Clock::now();
};

void Collector::announce()
{
    fmt::print("listening on {}, store {}\n", receivers_.local_address(), options_.store.folder.string());
    std::fflush(stdout);
    if (!options_.ready_file.empty())
        replace_file(options_.ready_file, receivers_.local_address() + "\n", false);
}

ControlReply Collector::command(ControlCall const& call)
{
    std::scoped_lock const lock{control_mutex_};
    return carry_out(call, intake_, control_lane_, receivers_.socket());
}

void Collector::start_companions()
{
    CompanionPlace const place{.store = options_.store.folder,
                               .control_socket = options_.control_socket,
                               .figures = *this,
                               .command = [this](ControlCall const& call) { return command(call); }};
    for (auto const& maker : options_.companions)
        if (auto companion = maker->start(place))
            companions_.push_back(std::move(companion));
}

int Collector::run(Signals const& signals, Surroundings& surroundings)
{
    receivers_.start(intake_, store_, work_);
    if (hdfs_)
        surroundings.metrics().add([this](Exposition& out) { write_hdfs_figures(out, hdfs_->figures()); });
    auto const listener =
        surroundings.start(*this, options_.store.folder, "listening on " + receivers_.local_address());
    if (!options_.control_socket.empty())
        control_.emplace(options_.control_socket, [this](ControlCall const& call) { return command(call); });
    start_companions();
    announce();
    while (wait(signals)) {
        auto const now = Clock::now();
        commit(now);
        store_.roll_if_due(now);
        surroundings.alive(now);
        if (now - last_second_ >= 1s)
            every_second(now);
        if (idle_too_long(now))
            break;
    }
    surroundings.stopping();
    return finish();
}

/// Until there is something to do. False: a signal asks to stop.
bool Collector::wait(Signals const& signals)
{
    // While a commit runs, or a batch waits for its time, news of more are no reason to wake up.
    std::size_t const pending = store_.pending_bytes();
    bool const committing = store_.is_committing();
    bool const listen = !committing && (pending == 0 || pending >= commit_bytes);
    pollfd descriptors[3] = {
        {signals.fd(), POLLIN, 0}, {store_.commit_event(), POLLIN, 0}, {listen ? work_.fd() : -1, POLLIN, 0}};
    auto timeout = std::chrono::milliseconds{100};
    if (pending > 0 && !committing)
        timeout = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(next_commit_ - Clock::now()), 1ms,
                             options_.commit_interval);
    if (::poll(descriptors, 3, static_cast<int>(timeout.count())) < 0)
        return errno == EINTR;
    work_.clear();
    if ((descriptors[0].revents & POLLIN) == 0)
        return true;
    if (signals.take() != SIGHUP)
        return false;
    read_keys_again();
    return true;
}

void Collector::read_keys_again()
{
    try {
        intake_.replace_keys(KeyRing::read(options_.key_file));
        log_event(spdlog::level::info, "keys_read", fmt::format("the keys in {} are read again", options_.key_file));
    } catch (KeyFileError const& error) {
        log_event(spdlog::level::err, "keys_refused", fmt::format("{}. The keys stay as they were", error.what()));
    }
}

void Collector::commit(Clock::time_point now)
{
    if (auto const state = store_.take_commit_state(); state == Store::CommitState::done)
        commit_done();
    else if (state == Store::CommitState::failed)
        commit_failed(now);
    else if (state == Store::CommitState::running)
        return;
    if (now < next_attempt_ || (now < next_commit_ && store_.pending_bytes() < commit_bytes && !store_.failing()))
        return;
    // First what the sensors may count on, then the batch that makes it true.
    if (!store_.batch_failed()) {
        if (store_.pending_bytes() == 0)
            return;
        intake_.commit_started();
    }
    store_.start_commit();
    next_commit_ = now + options_.commit_interval;
}

void Collector::commit_done()
{
    counters_.add(Counter::commits);
    intake_.commit_finished(lane_);
    intake_.acknowledge(lane_, receivers_.socket());
    if (std::exchange(store_failing_, false)) {
        log_event(spdlog::level::warn, "store_works_again", "the store can be written again");
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
    log_event(
        spdlog::level::err, "store_failing",
        fmt::format("{}. Nothing more is acknowledged until the store can be written; the sensors keep what they have "
                    "as long as their buffers last",
                    store_.error()));
}

void Collector::every_second(Clock::time_point now)
{
    double const seconds = std::chrono::duration<double>(now - last_second_).count();
    last_second_ = now;
    bool const terminal = ::isatty(STDERR_FILENO) != 0;
    if (options_.progress || terminal) {
        fmt::print(stderr, "{}{}{}", terminal ? "\r\033[K" : "", progress_.make(counters(), store_.backlog(), seconds),
                   terminal ? "" : "\n");
        std::fflush(stderr);
    }
    write_metrics();
}

CounterValues Collector::counters() const
{
    CounterValues sum = receivers_.counters();
    for (std::size_t i = 0; i < counter_count; ++i)
        sum[i] += counters_.at(i) + control_counters_.at(i);
    return sum;
}

CollectorSnapshot Collector::snapshot() const
{
    CollectorSnapshot all{
        .counters = counters(), .store = store_.figures(), .queues = store_.queues(), .sensors = intake_.sensors()};
    all.queues.waiting_slot_bytes = intake_.waiting_bytes();
    all.queues.sensors = all.sensors.size();
    return all;
}

void Collector::write_metrics()
{
    if (options_.metrics_file.empty())
        return;
    try {
        replace_file(options_.metrics_file, metrics_json(counters(), store_.totals(), store_.backlog(), hdfs_.get()),
                     false);
    } catch (StoreError const& error) {
        log_event(spdlog::level::warn, "metrics_not_written", fmt::format("metrics: {}", error.what()));
    }
}

bool Collector::idle_too_long(Clock::time_point now) const
{
    auto const last = receivers_.last_traffic();
    return options_.exit_after_idle_s && last &&
           std::chrono::duration<double>(now - *last).count() >= *options_.exit_after_idle_s;
}

void Collector::finish_upload()
{
    if (!hdfs_)
        return;
    std::size_t const left = hdfs_->finish(options_.hdfs.drain_time, options_.hdfs.drain_time);
    HdfsFigures const figures = hdfs_->figures();
    log_event(spdlog::level::info, "hdfs_uploaded",
              fmt::format("HDFS: {} files, {} bytes uploaded", figures.files_uploaded, figures.bytes_uploaded));
    if (left != 0)
        log_event(spdlog::level::warn, "hdfs_not_finished",
                  fmt::format("HDFS: {} files are not there yet{}{}; the next start goes on with them", left,
                              figures.last_error.empty() ? "" : ": ", figures.last_error));
}

int Collector::finish()
{
    control_.reset();
    receivers_.stop();
    // The batch on its way, then the rest; both are acknowledged before the sensors lose sight of this collector.
    bool complete = store_.commit_running();
    if (complete) {
        intake_.commit_finished(lane_);
        intake_.commit_started();
        complete = store_.commit();
    }
    if (complete) {
        intake_.commit_finished(lane_);
        intake_.acknowledge(lane_, receivers_.socket());
    }
    complete = store_.close() && complete;
    companions_.clear();
    finish_upload();
    write_metrics();
    if (::isatty(STDERR_FILENO) != 0)
        fmt::print(stderr, "\n");
    fmt::print("{}", totals_text(counters(), store_.totals()));
    std::fflush(stdout);
    if (!complete)
        log_event(spdlog::level::err, "stopped_unfinished",
                  fmt::format(
                      "stopped, but not everything is in Parquet yet: {}. What was acknowledged is in the journal; the "
                      "next start of collect on this store finishes it",
                      store_.error()));
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
    Surroundings surroundings{options.surroundings};
    raise_open_files_limit();
    keep_freed_memory();
    try {
        Signals const signals;
        Collector collector{options};
        return collector.run(signals, surroundings);
    } catch (std::exception const& error) {
        log_event(spdlog::level::err, "ended_by_error", error.what());
        return 1;
    }
}

} // namespace undercroft::collector
