// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "preflight/facts.hpp"

namespace undercroft::preflight {
namespace {

/// Linux's msr module: the offset in the file is the MSR's number; EIO says that RDMSR raised #GP.
MsrValue read_msr_file(std::uint32_t number)
{
    int const file = ::open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return std::unexpected(errno == ENOENT || errno == ENXIO ? MsrFailure::no_file : MsrFailure::no_permission);
    std::uint64_t value = 0;
    bool const whole = ::pread(file, &value, sizeof(value), number) == sizeof(value);
    int const error = errno;
    ::close(file);
    if (whole)
        return value;
    return std::unexpected(error == EPERM ? MsrFailure::no_permission : MsrFailure::refused);
}

} // namespace

Source this_machine()
{
    return {"/", &core::cpuid, &read_msr_file};
}

} // namespace undercroft::preflight
