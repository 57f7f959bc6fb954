// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Makes the collector part of the emulated machine's time: preloaded, this lets slirp's sends return only when the
// answer lies in the socket (the collector answers every datagram with one). In Bochs, where time is counted in
// instructions, it is then always the same poll of the guest's time that finds it, and a run with a collector is the
// same every time; in QEMU the sensor does not spin while the host is slow.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
enum { patience_ms = 20000, step_us = 100, rmem_alloc = 0, meminfo_words = 9 };

// Grows with each datagram that arrives.
static uint32_t received_bytes(int socket)
{
    uint32_t info[meminfo_words] = {0};
    socklen_t length = sizeof info;
    return getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info, &length) == 0 ? info[rmem_alloc] : 0;
}

EXPORT ssize_t sendto(int socket, void const* data, size_t bytes, int flags, struct sockaddr const* to,
                      socklen_t to_length)
{
    static ssize_t (*real)(int, void const*, size_t, int, struct sockaddr const*, socklen_t);
    if (real == NULL)
        *(void**)&real = dlsym(RTLD_NEXT, "sendto");
    bool const waits = to != NULL && to->sa_family == AF_INET;
    uint32_t const before = waits ? received_bytes(socket) : 0;
    ssize_t const result = real(socket, data, bytes, flags, to, to_length);
    struct timespec const step = {0, step_us * 1000};
    unsigned const steps = waits && result >= 0 ? patience_ms * 1000 / step_us : 0;
    for (unsigned i = 0; i < steps && received_bytes(socket) <= before; ++i)
        nanosleep(&step, NULL);
    return result;
}
