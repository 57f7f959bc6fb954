// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// system_set SECONDS: what the rest of a system does, each for so long, in operations per second as JSON: process
// creation (fork, exit, wait), execl (the program calls itself), pipe (one byte there and back within a process),
// context (the same between two processes), file copy (1 KiB pieces, in /tmp) and syscalls (getppid).
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(char const* what)
{
    std::perror(what);
    std::exit(1);
}

void must(bool done, char const* what)
{
    if (!done)
        fail(what);
}

/// Operations per second; `batch` operations are made by each call.
double rate(double seconds, int batch, std::function<void()> const& work)
{
    auto const begin = Clock::now();
    double spent = 0;
    long calls = 0;
    for (; spent < seconds; ++calls) {
        work();
        spent = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    return static_cast<double>(calls) * batch / spent;
}

void run_child(char const* self)
{
    pid_t const child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        if (self != nullptr)
            execl(self, self, "exit", static_cast<char*>(nullptr));
        _exit(self == nullptr ? 0 : 1);
    }
    int status = 0;
    must(waitpid(child, &status, 0) == child && status == 0, "child");
}

struct Pipe {
    int ends[2]{};
    Pipe() { must(pipe(ends) == 0, "pipe"); }
    ~Pipe()
    {
        close(ends[0]);
        close(ends[1]);
    }
    Pipe(Pipe const&) = delete;
    Pipe& operator=(Pipe const&) = delete;
    void put() const { must(write(ends[1], "x", 1) == 1, "write"); }
    void get() const
    {
        char byte = 0;
        must(read(ends[0], &byte, 1) == 1, "read");
    }
};

double context_switches(double seconds)
{
    Pipe const there;
    Pipe const back;
    pid_t const child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        char byte = 0;
        while (read(there.ends[0], &byte, 1) == 1 && byte == 'x')
            back.put();
        _exit(0);
    }
    double const result = rate(seconds, 1, [&] {
        there.put();
        back.get();
    });
    must(write(there.ends[1], "q", 1) == 1, "write");
    waitpid(child, nullptr, 0);
    return result;
}

/// KiB per second of copies of a file of 256 KiB.
double copied(double seconds)
{
    constexpr int pieces = 256;
    std::array<char, 1024> piece{};
    int const from = open("/tmp/system_set.from", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int const to = open("/tmp/system_set.to", O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(from >= 0 && to >= 0, "open");
    for (int i = 0; i < pieces; ++i)
        must(write(from, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "write");
    double const result = rate(seconds, pieces, [&] {
        must(lseek(from, 0, SEEK_SET) == 0 && lseek(to, 0, SEEK_SET) == 0, "lseek");
        for (int i = 0; i < pieces; ++i) {
            must(read(from, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "read");
            must(write(to, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "write");
        }
    });
    close(from);
    close(to);
    return result;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 2 && std::strcmp(argv[1], "exit") == 0)
        return 0;
    double const seconds = argc == 2 ? std::atof(argv[1]) : 0;
    if (seconds <= 0)
        return std::fputs("usage: system_set SECONDS\n", stderr), 2;
    Pipe const own;
    std::printf("{\"process\": %.3f, ", rate(seconds, 1, [] { run_child(nullptr); }));
    std::fflush(stdout);
    std::printf("\"execl\": %.3f, ", rate(seconds, 1, [] { run_child("/proc/self/exe"); }));
    std::printf("\"pipe\": %.3f, ", rate(seconds, 100, [&] {
                    for (int i = 0; i < 100; ++i) {
                        own.put();
                        own.get();
                    }
                }));
    std::fflush(stdout);
    std::printf("\"context\": %.3f, ", context_switches(seconds));
    std::printf("\"copy_kib\": %.3f, ", copied(seconds));
    std::printf("\"syscall\": %.3f}\n", rate(seconds, 1000, [] {
                    for (int i = 0; i < 1000; ++i)
                        syscall(SYS_getppid);
                }));
}
