// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The functions that the loader calls; the ELF entry point is this table's address.
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/enter.hpp"
#include "hypervisor/core/machine.hpp"

namespace undercroft::core {
namespace {

std::uint64_t UC_SYSVABI required_bytes(char const* text, std::uint32_t bytes, std::uint32_t cpus,
                                        boot::RamExtent const* ram, boot::ConfigProblem* problem)
{
    static_assert(sizeof(problem->message) == sizeof(ConfigError::message));
    Config config;
    ConfigError error;
    if (!parse_config({text, bytes}, config, error)) {
        problem->line = error.line;
        __builtin_memcpy(problem->message, error.message, sizeof(error.message));
        return 0;
    }
    return Machine::required_bytes(config, cpus, *ram);
}

boot::StartResult UC_SYSVABI prepare(boot::BootInfo const* info)
{
    if (info->magic != boot::boot_info_magic || info->bytes != sizeof(boot::BootInfo))
        return boot::StartResult::bad_boot_info;
    return machine().prepare(*info);
}

boot::StartResult UC_SYSVABI enter(std::uint32_t cpu_index)
{
    return static_cast<boot::StartResult>(core_enter(cpu_index));
}

} // namespace

extern "C" {
extern boot::CoreHeader const core_header;
[[gnu::visibility("default"), gnu::used]] boot::CoreHeader const core_header{boot::core_header_magic, &required_bytes,
                                                                             &prepare, &enter};
}

} // namespace undercroft::core
