// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/control_bridge.hpp"

#include "hypervisor/backend/vendor.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/log_reader.hpp"
#include "hypervisor/core/version.hpp"
#include "hypervisor/paging/guest_walk.hpp"

namespace undercroft::core {
namespace {

/// The calling program's memory, by its own page tables.
class CallerMemory final : public control::GuestVirtualMemory {
public:
    CallerMemory(GuestMemory& memory, backend::PagingState const& paging) : memory_{&memory}, paging_{&paging} {}
    bool read(Gva from, std::span<std::byte> into) override
    {
        return paging::read_virtual(*memory_, *paging_, from, into).has_value();
    }
    bool write(Gva to, std::span<std::byte const> from) override
    {
        return paging::write_virtual(*memory_, *paging_, to, from).has_value();
    }

private:
    GuestMemory* memory_;
    backend::PagingState const* paging_;
};

constexpr unsigned rax = 0, rsi = 6, rdi = 7;

} // namespace

ControlBridge::ControlBridge(Config const& config, boot::BootInfo const& info, Devices& devices,
                             MemoryWatch& memory_watch, Counters& counters)
    : config_{&config}, info_{&info}, devices_{&devices}, memory_watch_{&memory_watch}, counters_{&counters},
      capturing_{config.capture_at_start}
{
    control::ControlIdentity identity{};
    identity.control_key = config.control_key;
    __builtin_memcpy(identity.boot_id.data(), info.boot_id, sizeof(info.boot_id));
    identity.machine_id = config.machine_id;
    identity.sensor_version = version;
    identity.cpu_backend = backend::find_vendor()->name();
    identity.start = UtcNs{info.firmware_utc_ns};
    server_.set_up(identity, *this);
    devices.set_command_target(*this);
}

bool ControlBridge::hypercall(backend::Registers& registers, backend::PagingState const& paging, GuestMemory& memory)
{
    CallerMemory caller{memory, paging};
    if (server_.handle(registers.gpr[rax], registers.gpr[rdi], registers.gpr[rsi], caller) != control::Answer::done)
        return false;
    registers.gpr[rax] = 0;
    return true;
}

void ControlBridge::status(wire::ControlStatus& status)
{
    Clock const& clock = devices_->clock();
    Tsc const now = clock.tsc();
    status.time_utc_ns = clock.utc(now).value;
    status.start_utc_ns = clock.utc(Tsc{info_->firmware_tsc}).value;
    status.uptime_ns = mul_div(now.value - info_->firmware_tsc, 1'000'000'000, clock.tsc_hz());
    status.records = counters_->get(wire::CounterId::records_made);
    status.dropped = counters_->get(wire::CounterId::records_dropped);
    status.slots_closed = counters_->get(wire::CounterId::slots_closed);
    status.slots_freed = counters_->get(wire::CounterId::slots_freed);
    status.buffer_bytes = std::uint64_t{config_->buffer_kib} * 1024;
    status.next_log_line = next_log_line();
    status.cpus = static_cast<std::uint32_t>(counters_->get(wire::CounterId::cpus_controlled));
    status.capturing = static_cast<std::uint8_t>(capturing_.load() ? 1 : 0);
    status.capture_mode = static_cast<std::uint8_t>(config_->mode);
    status.policy = static_cast<std::uint8_t>(config_->policy);
    status.synchronised = static_cast<std::uint8_t>(clock.synchronised() ? 1 : 0);
    devices_->describe_network(status);
    __builtin_memcpy(status.collector, config_->collector.data(), 4);
    status.collector_port = config_->collector_port;
}

void ControlBridge::switch_capture(bool on, std::string_view by)
{
    if (capturing_.exchange(on) != on)
        devices_->set_capture(on);
    core::log(LogLevel::info, str(on ? "capture started by " : "capture stopped by "), str(by));
}

wire::ControlResult ControlBridge::memory(wire::MemoryRequest const& request,
                                          std::span<wire::MemoryStatus, wire::memory_modes> states)
{
    wire::ControlResult const result = memory_watch_->request(request, states);
    if (request.action.get() != static_cast<std::uint16_t>(wire::MemoryAction::status))
        core::log(LogLevel::info, str("memory monitor: action "), dec(request.action.get()), str(" mode "),
                  dec(request.mode.get()), str(" result "), dec(static_cast<std::uint64_t>(result)));
    return result;
}

wire::ControlResult ControlBridge::carry_out(net::Command const& command,
                                             std::span<wire::MemoryStatus, wire::memory_modes> states)
{
    wire::MemoryRequest status{};
    switch (command.command) {
    case wire::ControlCommand::start:
    case wire::ControlCommand::stop:
        switch_capture(command.command == wire::ControlCommand::start, "the collector");
        (void)memory_watch_->request(status, states);
        return wire::ControlResult::done;
    case wire::ControlCommand::memory:
        return memory(command.memory, states);
    default:
        (void)memory_watch_->request(status, states);
        return wire::ControlResult::unknown_command;
    }
}

std::size_t ControlBridge::counters(std::span<wire::Counter> into)
{
    std::size_t count = 0;
    auto put = [&](wire::CounterId id) {
        std::uint64_t const value = counters_->get(id);
        if (value == 0 || count == into.size())
            return;
        into[count] = {};
        into[count].id = static_cast<std::uint16_t>(id);
        into[count++].value = value;
    };
#define X(id, name, text) put(wire::CounterId::name);
    UNDERCROFT_COUNTERS(X)
#undef X
    return count;
}

LogRead ControlBridge::log(std::uint64_t cursor, std::span<char> into)
{
    return read_log(cursor, into);
}

} // namespace undercroft::core
