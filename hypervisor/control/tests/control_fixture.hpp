// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A machine for tests of the control protocol: the server, a target that remembers, and a program's memory.
#include <cstring>
#include <string>
#include <vector>

#include "hypervisor/control/control.hpp"

namespace undercroft::control {

/// A few pages of a program at one address.
class ProgramMemory final : public GuestVirtualMemory {
public:
    static constexpr std::uint64_t base = 0x7f0000400000;
    std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(wire::max_control_buffer);
    bool writable = true;
    unsigned reads = 0, writes = 0;

    bool read(Gva from, std::span<std::byte> into) override
    {
        ++reads;
        if (!inside(from, into.size()))
            return false;
        std::memcpy(into.data(), bytes.data() + (from.value - base), into.size());
        return true;
    }
    bool write(Gva to, std::span<std::byte const> from) override
    {
        ++writes;
        if (!writable || !inside(to, from.size()))
            return false;
        std::memcpy(bytes.data() + (to.value - base), from.data(), from.size());
        return true;
    }

private:
    [[nodiscard]] bool inside(Gva at, std::size_t count) const
    {
        return at.value >= base && at.value - base <= bytes.size() && count <= bytes.size() - (at.value - base);
    }
};

class RememberingTarget final : public ControlTarget {
public:
    bool capturing = true;
    unsigned switched = 0;
    std::vector<std::string> lines;
    void status(wire::ControlStatus& status) override
    {
        status.records = std::uint64_t{12345};
        status.cpus = std::uint32_t{4};
        status.capturing = static_cast<std::uint8_t>(capturing ? 1 : 0);
    }
    void set_capture(bool on) override
    {
        capturing = on;
        ++switched;
    }
    std::size_t counters(std::span<wire::Counter> into) override
    {
        std::size_t count = 0;
        for (std::uint16_t const id : {std::uint16_t{1}, std::uint16_t{32}, std::uint16_t{120}}) {
            if (count == into.size())
                break;
            into[count] = {};
            into[count].id = id;
            into[count++].value = std::uint64_t{1000} + id;
        }
        return count;
    }
    wire::ControlResult memory(wire::MemoryRequest const& request,
                               std::span<wire::MemoryStatus, wire::memory_modes> states) override
    {
        asked.push_back(request);
        for (wire::MemoryStatus& state : states)
            state.cycles = std::uint64_t{77};
        return memory_result;
    }
    std::vector<wire::MemoryRequest> asked;
    wire::ControlResult memory_result = wire::ControlResult::done;
    core::LogRead log(std::uint64_t cursor, std::span<char> into) override
    {
        core::LogRead read;
        read.next = cursor;
        for (; read.next < lines.size() && read.bytes + lines[read.next].size() <= into.size(); ++read.next) {
            std::memcpy(into.data() + read.bytes, lines[read.next].data(), lines[read.next].size());
            read.bytes += lines[read.next].size();
        }
        return read;
    }
};

inline constexpr std::uint64_t fixture_start_ns = 1'700'000'000'000'000'000;

inline ControlIdentity fixture_identity()
{
    ControlIdentity identity;
    for (std::size_t i = 0; i < identity.control_key.size(); ++i)
        identity.control_key[i] = static_cast<std::uint8_t>(0xa0 + i);
    identity.boot_id = {0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    identity.machine_id = {0xc0, 0xff, 0xee};
    identity.sensor_version = "0.1.0-test";
    identity.cpu_backend = "svm";
    identity.start = UtcNs{fixture_start_ns};
    return identity;
}

} // namespace undercroft::control
