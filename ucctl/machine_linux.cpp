// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "ucctl/machine_linux.hpp"

#include <cpuid.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <ctime>
#include <system_error>

namespace undercroft::ucctl {
namespace {

sigjmp_buf before_the_call;

void leave_the_call(int)
{
    siglongjmp(before_the_call, 1);
}

/// AMD and Hygon know VMMCALL; Intel, Zhaoxin and VIA know VMCALL.
bool vendor_has_vmmcall()
{
    unsigned highest = 0, b = 0, c = 0, d = 0;
    __cpuid(0, highest, b, c, d);
    char name[12];
    std::memcpy(name, &b, 4);
    std::memcpy(name + 4, &d, 4);
    std::memcpy(name + 8, &c, 4);
    return std::memcmp(name, "AuthenticAMD", 12) == 0 || std::memcmp(name, "HygonGenuine", 12) == 0;
}

std::uint64_t call(bool vmmcall, void* buffer, std::size_t bytes)
{
    std::uint64_t rax = wire::control_hypercall;
    if (vmmcall)
        asm volatile("vmmcall" : "+a"(rax) : "D"(buffer), "S"(bytes) : "memory");
    else
        asm volatile("vmcall" : "+a"(rax) : "D"(buffer), "S"(bytes) : "memory");
    return rax;
}

/// While it lives, the instruction's faults come back to sigsetjmp instead of ending the program.
class FaultsCaught {
public:
    FaultsCaught()
    {
        struct sigaction action = {};
        action.sa_handler = leave_the_call;
        for (std::size_t i = 0; i < std::size(signals); ++i)
            sigaction(signals[i], &action, &before_[i]);
    }
    ~FaultsCaught()
    {
        for (std::size_t i = 0; i < std::size(signals); ++i)
            sigaction(signals[i], &before_[i], nullptr);
    }
    FaultsCaught(FaultsCaught const&) = delete;
    FaultsCaught& operator=(FaultsCaught const&) = delete;

private:
    // #UD is SIGILL; some hypervisors answer with #GP, which is SIGSEGV.
    static constexpr int signals[] = {SIGILL, SIGSEGV};
    struct sigaction before_[std::size(signals)] = {};
};

} // namespace

LinuxMachine::LinuxMachine()
{
    void* const memory = mmap(nullptr, wire::max_control_buffer, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        throw std::system_error(errno, std::generic_category(), "no memory for the buffer");
    buffer_ = {static_cast<std::uint8_t*>(memory), wire::max_control_buffer};
    // Resident pages are needed at the moment of the call; the lock keeps them so.
    if (mlock(memory, buffer_.size()) != 0) {
        int const reason = errno;
        munmap(memory, buffer_.size());
        throw std::system_error(reason, std::generic_category(), "cannot lock 64 KiB of memory (ulimit -l)");
    }
}

LinuxMachine::~LinuxMachine()
{
    munmap(buffer_.data(), buffer_.size());
}

bool LinuxMachine::hypercall()
{
    bool const vmmcall = vendor_has_vmmcall();
    for (std::size_t at = 0; at < buffer_.size(); at += wire::control_page_bytes)
        *const_cast<std::uint8_t volatile*>(&buffer_[at]) =
            buffer_[at]; // writable page table entries, not only resident
    FaultsCaught const caught;
    if (sigsetjmp(before_the_call, 1) != 0)
        return false;
    return call(vmmcall, buffer_.data(), buffer_.size()) == 0;
}

void LinuxMachine::fill_random(std::span<std::uint8_t> into)
{
    while (!into.empty()) {
        ssize_t const got = getrandom(into.data(), into.size(), 0);
        if (got < 0 && errno != EINTR)
            throw std::system_error(errno, std::generic_category(), "getrandom");
        if (got > 0)
            into = into.subspan(static_cast<std::size_t>(got));
    }
}

std::uint64_t LinuxMachine::utc_ns()
{
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

} // namespace undercroft::ucctl
