// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Put before the C library of a collector (LD_PRELOAD), this is a machine with a slow disk and a clock that jumps:
//   UC_SLOW_SYNC_MS=200      each fdatasync and fsync takes so much longer, and up to as much again at random
//   UC_SLOW_WRITE_NS_PER_KIB=5000   each pwrite and write takes so much longer
//   UC_CLOCK_JUMPS=2:86400,4:-172800   from 2 s after the start on the clock is a day ahead, from 4 s on two days
//   behind
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

template <typename Function>
Function* next(char const* name)
{
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

long number(char const* name)
{
    char const* const text = std::getenv(name);
    return text == nullptr ? 0 : std::atol(text);
}

void wait_ns(std::int64_t ns)
{
    timespec const time{static_cast<std::time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    ::nanosleep(&time, nullptr);
}

void wait_for_sync()
{
    static long const slow_ms = number("UC_SLOW_SYNC_MS");
    static std::atomic<std::uint32_t> random{12345};
    std::uint32_t const drawn = random.load() * 1664525U + 1013904223U;
    random = drawn;
    if (slow_ms > 0)
        wait_ns((slow_ms + static_cast<long>((drawn >> 8) % static_cast<std::uint32_t>(slow_ms))) * 1'000'000);
}

void wait_for_write(std::size_t bytes)
{
    static long const ns_per_kib = number("UC_SLOW_WRITE_NS_PER_KIB");
    if (ns_per_kib > 0)
        wait_ns(static_cast<std::int64_t>(bytes / 1024) * ns_per_kib);
}

int true_clock(clockid_t clock, timespec* time)
{
    static auto* const original = next<int(clockid_t, timespec*)>("clock_gettime");
    return original(clock, time);
}

/// Seconds that the clock is wrong by now.
long clock_error()
{
    static char const* const jumps = std::getenv("UC_CLOCK_JUMPS");
    if (jumps == nullptr)
        return 0;
    timespec now{};
    true_clock(CLOCK_MONOTONIC, &now);
    static std::time_t const start = now.tv_sec;
    long error = 0;
    long at = 0;
    long offset = 0;
    int used = 0;
    for (char const* rest = jumps; std::sscanf(rest, "%ld:%ld%n", &at, &offset, &used) == 2; rest += used + 1) {
        if (now.tv_sec - start >= at)
            error = offset;
        if (rest[used] != ',')
            break;
    }
    return error;
}

} // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time)
{
    int const result = true_clock(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += clock_error();
    return result;
}

std::time_t time(std::time_t* to)
{
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (to != nullptr)
        *to = now.tv_sec;
    return now.tv_sec;
}

int fdatasync(int fd)
{
    static auto* const original = next<int(int)>("fdatasync");
    wait_for_sync();
    return original(fd);
}

int fsync(int fd)
{
    static auto* const original = next<int(int)>("fsync");
    wait_for_sync();
    return original(fd);
}

ssize_t pwrite64(int fd, void const* bytes, std::size_t count, off_t offset)
{
    static auto* const original = next<ssize_t(int, void const*, std::size_t, off_t)>("pwrite64");
    wait_for_write(count);
    return original(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, void const* bytes, std::size_t count, off_t offset)
{
    return pwrite64(fd, bytes, count, offset);
}

ssize_t write(int fd, void const* bytes, std::size_t count)
{
    static auto* const original = next<ssize_t(int, void const*, std::size_t)>("write");
    if (count >= 4096) // events and lines of the log are not the disk
        wait_for_write(count);
    return original(fd, bytes, count);
}
}
