// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "hypervisor/boot/multiboot2/tags.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t bytes)
{
    using namespace undercroft::multiboot2;
    auto const tags = read_tags({data, bytes});
    if (!tags)
        return 0;
    if (tags->module_count > BootTags::max_modules)
        __builtin_trap();
    for (std::size_t i = 0; i < tags->module_count; ++i)
        if (tags->modules[i].end < tags->modules[i].start)
            __builtin_trap();
    Options const options = read_options(tags->command_line);
    if (options.boot_drive && next_drive(options, *tags) != *options.boot_drive)
        __builtin_trap();
    return 0;
}
