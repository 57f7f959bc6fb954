// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft.efi: takes memory from the firmware for good, loads core.elf and undercroft.conf
// from its own folder, puts every CPU under the core and returns to the firmware, which boots
// the operating system as it always would.
#include <initializer_list>

#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/boot/elf.hpp"
#include "hypervisor/boot/explain.hpp"
#include "hypervisor/boot/uefi/console.hpp"
#include "hypervisor/boot/uefi/efi.hpp"
#include "hypervisor/boot/uefi/firmware.hpp"

namespace undercroft::efi {
namespace {

using boot::BootInfo;
using boot::CoreHeader;
using boot::explain;
using boot::max_core_bytes;
using boot::StartResult;

constexpr std::uint64_t huge_page = 2ULL << 20;

struct ApContext {
    CoreHeader const* core;
    MpServices* mp;
    std::uint32_t failures;
};

void UC_EFIAPI enter_on_ap(void* argument)
{
    auto* context = static_cast<ApContext*>(argument);
    std::uint64_t number = 0;
    context->mp->who_am_i(context->mp, &number);
    if (context->core->enter(static_cast<std::uint32_t>(number)) != StartResult::ok)
        __atomic_fetch_add(&context->failures, 1, __ATOMIC_RELAXED);
}

/// AMD's instruction and Intel's differ; each raises #UD on the other's processors.
bool processor_has_vmmcall()
{
    std::uint32_t eax = 0, ebx, ecx, edx;
    asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    constexpr std::uint32_t intel_ecx = 0x6C65746E; // "ntel" of "GenuineIntel"
    return ecx != intel_ecx;
}

/// A few bytes of code in boot-services memory that survive this image: the notification
/// that boot services end makes one hypercall with the boot secret.
///   push rbx; mov rax, imm64; mov rbx, imm64; vmmcall (AMD) or vmcall (Intel); pop rbx; ret
bool announce_end_of_boot_services(BootServices* boot, std::uint64_t secret)
{
    std::uint64_t page = 0;
    if (boot->allocate_pages(AllocateType::any, MemoryType::boot_code, 1, &page) != success)
        return false;
    auto* code = reinterpret_cast<std::uint8_t*>(page);
    std::uint64_t const call = boot::hypercall_boot_services_ended;
    std::size_t at = 0;
    auto put = [&](std::initializer_list<std::uint8_t> bytes) {
        for (std::uint8_t const b : bytes)
            code[at++] = b;
    };
    auto put_u64 = [&](std::uint64_t value) {
        for (unsigned i = 0; i < 8; ++i)
            code[at++] = static_cast<std::uint8_t>(value >> (8 * i));
    };
    put({0x53, 0x48, 0xB8});
    put_u64(call);
    put({0x48, 0xBB});
    put_u64(secret);
    put({0x0F, 0x01, processor_has_vmmcall() ? std::uint8_t{0xD9} : std::uint8_t{0xC1}, 0x5B, 0xC3});
    Event event = nullptr;
    auto notify = reinterpret_cast<void(UC_EFIAPI*)(Event, void*)>(page);
    return boot->create_event(event_signal_exit_boot_services, tpl_callback, notify, nullptr, &event) == success;
}

/// Asks a first copy of the core what its region must hold. 0: the error is on the console.
std::uint64_t required_bytes(SystemTable* system, Buffer const& core_file, Buffer const& config, std::uint32_t cpus,
                             boot::RamExtent const& ram)
{
    std::uint64_t pages = 0;
    if (system->boot->allocate_pages(AllocateType::any, MemoryType::loader_code, max_core_bytes / 4096, &pages) !=
        success)
        return print_error(system, explain(StartResult::out_of_memory)), 0;
    std::uint64_t bytes = 0;
    boot::ConfigProblem problem{};
    boot::ElfImage const image = boot::load_elf(core_file.data, core_file.bytes, pages, max_core_bytes);
    auto const* const core = reinterpret_cast<CoreHeader const*>(image.entry);
    if (core == nullptr || core->magic != boot::core_header_magic)
        print_error(system, "core.elf is damaged or of another version");
    else if ((bytes = core->required_bytes(reinterpret_cast<char const*>(config.data),
                                           static_cast<std::uint32_t>(config.bytes), cpus, &ram, &problem)) == 0)
        print_config_error(system, problem.line, problem.message);
    system->boot->free_pages(pages, max_core_bytes / 4096);
    return bytes;
}

Status start(Handle image, SystemTable* system)
{
    BootServices* const boot = system->boot;
    Firmware firmware{image, system};
    Buffer config_text = firmware.read_sibling(u"undercroft.conf");
    if (config_text.data == nullptr)
        return print_error(system, "undercroft.conf not found beside undercroft.efi"), not_found;
    Buffer core_file = firmware.read_sibling(u"core.elf");
    if (core_file.data == nullptr)
        return print_error(system, "core.elf not found beside undercroft.efi"), not_found;
    if (config_text.bytes > boot::max_config_bytes)
        return print_config_error(system, 0, "the file is larger than 16 KiB"), invalid_parameter;

    void* mp_interface = nullptr;
    std::uint64_t cpus = 1, enabled = 1;
    boot->locate_protocol(&mp_services_guid, nullptr, &mp_interface);
    auto* const mp = static_cast<MpServices*>(mp_interface);
    if (mp != nullptr)
        mp->count(mp, &cpus, &enabled);
    if (cpus > boot::max_cpus)
        return print_error(system, explain(StartResult::too_many_cpus)), unsupported;

    boot::RamExtent ram{};
    if (!firmware.measure_ram(ram))
        return print_error(system, explain(StartResult::too_many_memory_ranges)), unsupported;
    std::uint64_t const wanted = required_bytes(system, core_file, config_text, static_cast<std::uint32_t>(cpus), ram);
    if (wanted == 0)
        return invalid_parameter;
    std::uint64_t const region = firmware.reserve(wanted, huge_page);
    if (region == 0)
        return print_error(system, explain(StartResult::out_of_memory)), out_of_resources;
    boot::ElfImage const core_image = boot::load_elf(core_file.data, core_file.bytes, region, wanted);
    if (core_image.entry == nullptr)
        return print_error(system, "core.elf is damaged"), load_error;
    auto const* const core = reinterpret_cast<CoreHeader const*>(core_image.entry);
    if (core->magic != boot::core_header_magic)
        return print_error(system, explain(StartResult::bad_boot_info)), load_error;

    auto* const info = reinterpret_cast<BootInfo*>((core_image.end + 4095) & ~4095ULL);
    __builtin_memset(info, 0, sizeof(*info));
    info->magic = boot::boot_info_magic;
    info->bytes = sizeof(*info);
    info->region_start = region;
    info->region_bytes = wanted;
    info->free_start = (reinterpret_cast<std::uint64_t>(info) + sizeof(*info) + 4095) & ~4095ULL;
    info->cpus = static_cast<std::uint32_t>(cpus);
    info->config_bytes = static_cast<std::uint32_t>(config_text.bytes);
    __builtin_memcpy(info->config, config_text.data, config_text.bytes);
    firmware.release_networks();
    StartResult result = firmware.describe(*info) ? core->prepare(info) : StartResult::too_many_memory_ranges;
    if (result != StartResult::ok) {
        boot->free_pages(region, wanted / 4096);
        print_error(system, explain(result));
        return unsupported;
    }
    std::uint64_t const secret = info->boot_secret; // `info` is out of reach once this CPU is a guest
    if (enabled > 1) {
        ApContext context{core, mp, 0};
        Status const status = mp->startup_all(mp, enter_on_ap, false, nullptr, 0, &context, nullptr);
        if (status != success || context.failures != 0)
            return print_error(system, "some CPUs could not be put under the sensor"), aborted;
    }
    std::uint64_t self = 0;
    if (mp != nullptr)
        mp->who_am_i(mp, &self);
    result = core->enter(static_cast<std::uint32_t>(self));
    if (result != StartResult::ok)
        return print_error(system, explain(result)), unsupported;
    // From here the hypercall has somebody to answer it; before, it would end the machine.
    if (!announce_end_of_boot_services(boot, secret))
        print_error(system,
                    "could not register for the end of boot services: all records will count as the firmware's");
    firmware.free(config_text);
    firmware.free(core_file);
    // The boot manager goes on to the next boot option only after one that did not succeed;
    // after a success it shows its menu (UEFI 2.10, 3.1.1).
    return not_started;
}

} // namespace
} // namespace undercroft::efi

extern "C" UC_EFIAPI undercroft::efi::Status efi_main(undercroft::efi::Handle image,
                                                      undercroft::efi::SystemTable* system)
{
    return undercroft::efi::start(image, system);
}
