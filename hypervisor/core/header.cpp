// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The functions that the loader calls; the ELF entry point is this table's address.
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/core/enter.hpp"
#include "hypervisor/core/log_ring.hpp"
#include "hypervisor/core/machine.hpp"

namespace undercroft::core {
namespace {

boot::StartResult UC_SYSVABI prepare(boot::BootInfo const* info)
{
    if (info->magic != boot::boot_info_magic || info->bytes != sizeof(boot::BootInfo))
        return boot::StartResult::bad_boot_info;
    return machine().prepare(*info);
}

boot::StartResult UC_SYSVABI enter(std::uint32_t cpu_index) { return static_cast<boot::StartResult>(core_enter(cpu_index)); }

char const* UC_SYSVABI last_error() { return last_error_line(); }

} // namespace

extern "C" {
[[gnu::visibility("default"), gnu::used]] extern boot::CoreHeader const core_header;
boot::CoreHeader const core_header{boot::core_header_magic, &prepare, &enter, &last_error};
}

} // namespace undercroft::core
