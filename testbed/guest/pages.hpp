// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Pages of the guest whose guest-physical addresses are known, for programs that witness the memory monitor.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace undercroft::guest {

inline constexpr std::size_t page_bytes = 4096;

[[noreturn]] inline void fail(char const* what)
{
    std::perror(what);
    std::exit(1);
}

inline void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        fail("sched_setaffinity");
}

/// Locked pages of 4 KiB, present from the start.
class Pages {
public:
    explicit Pages(std::size_t count) : count_{count}
    {
        void* const at =
            mmap(nullptr, count * page_bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            fail("mmap");
        start_ = static_cast<std::uint8_t*>(at);
        if (madvise(start_, count * page_bytes, MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
            fail("madvise");
        if (mlock(start_, count * page_bytes) != 0)
            fail("mlock");
        for (std::size_t i = 0; i < count; ++i)
            start_[i * page_bytes] = 1; // a page of its own, not the kernel's page of zeros
    }

    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] std::uint8_t* page(std::size_t index) const { return start_ + index * page_bytes; }

    /// Guest-physical address of each page now; needs root.
    [[nodiscard]] std::vector<std::uint64_t> addresses() const
    {
        int const file = open("/proc/self/pagemap", O_RDONLY);
        if (file < 0)
            fail("/proc/self/pagemap");
        std::vector<std::uint64_t> entries(count_);
        auto const offset = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(start_) / page_bytes * 8);
        auto const bytes = static_cast<ssize_t>(count_ * 8);
        if (pread(file, entries.data(), static_cast<std::size_t>(bytes), offset) != bytes)
            fail("/proc/self/pagemap");
        close(file);
        for (std::uint64_t& entry : entries) {
            if ((entry >> 63) == 0 || (entry & 0x7F'FFFF'FFFF'FFFF) == 0) {
                std::fputs("pagemap: a page is not present, or this is not root\n", stderr);
                std::exit(1);
            }
            entry = (entry & 0x7F'FFFF'FFFF'FFFF) * page_bytes;
        }
        return entries;
    }

private:
    std::size_t count_;
    std::uint8_t* start_{};
};

/// "[1,2,3]"
template <typename T>
void print_list(std::vector<T> const& values)
{
    char separator = '[';
    for (auto const value : values) {
        std::printf("%c%llu", separator, static_cast<unsigned long long>(value));
        separator = ',';
    }
    std::fputs(values.empty() ? "[]" : "]", stdout);
}

/// Says that a stage is reached and waits for a line.
inline void wait_for_line()
{
    std::fflush(stdout);
    for (int c = std::getchar(); c != '\n'; c = std::getchar())
        if (c == EOF)
            std::exit(1);
}

/// xorshift64*, so that runs with the same seed are the same.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_{seed | 1} {}
    std::uint64_t below(std::uint64_t limit)
    {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545'F491'4F6C'DD1DULL >> 16) % limit;
    }

private:
    std::uint64_t state_;
};

} // namespace undercroft::guest
