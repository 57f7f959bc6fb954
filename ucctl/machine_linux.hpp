// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "ucctl/client.hpp"

namespace undercroft::ucctl {

/// The hypercall on x86-64 Linux: VMMCALL or VMCALL by the processor's vendor, #UD caught as SIGILL.
class LinuxMachine final : public Machine {
public:
    /// Throws std::system_error when the buffer cannot be had or locked in memory.
    LinuxMachine();
    ~LinuxMachine();
    LinuxMachine(LinuxMachine const&) = delete;
    LinuxMachine& operator=(LinuxMachine const&) = delete;

    std::span<std::uint8_t> buffer() override { return buffer_; }
    bool hypercall() override;
    void fill_random(std::span<std::uint8_t> into) override;
    std::uint64_t utc_ns() override;

private:
    std::span<std::uint8_t> buffer_;
};

} // namespace undercroft::ucctl
