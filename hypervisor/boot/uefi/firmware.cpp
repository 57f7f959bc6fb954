// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/uefi/firmware.hpp"

#include "hypervisor/boot/entropy.hpp"
#include "hypervisor/boot/uefi/ram_map.hpp"
#include "hypervisor/boot/utc.hpp"

namespace undercroft::efi {
namespace {

constexpr std::uint32_t pci_width_u32 = 2;
/// Network controllers, Ethernet: class code 02h, subclass 00h (PCI Code and ID Assignment).
constexpr std::uint32_t class_ethernet = 0x0200;

std::uint64_t read_tsc()
{
    std::uint32_t low, high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
    return std::uint64_t{high} << 32 | low;
}

} // namespace

Buffer Firmware::read_sibling(char16_t const* name)
{
    void* interface = nullptr;
    if (boot_->handle_protocol(image_, &loaded_image_guid, &interface) != success)
        return {};
    auto* const loaded = static_cast<LoadedImage*>(interface);
    if (boot_->handle_protocol(loaded->device, &file_system_guid, &interface) != success)
        return {};
    // The image's path is a list of media file path nodes (type 4, subtype 4), each text.
    char16_t path[512];
    std::size_t length = 0, folder_end = 0;
    for (DevicePath const* node = loaded->file_path; node != nullptr && node->type == 4 && node->subtype == 4;) {
        std::size_t const bytes = node->length[0] + 256U * node->length[1];
        if (bytes < sizeof(DevicePath))
            break;
        auto const* text = reinterpret_cast<std::uint8_t const*>(node + 1);
        if (length != 0 && path[length - 1] != u'\\' && length < 511)
            path[length++] = u'\\';
        for (std::size_t i = 0; i + 1 < bytes - sizeof(DevicePath) && length < 511; i += 2) {
            auto const c = static_cast<char16_t>(text[i] | text[i + 1] << 8);
            if (c != 0)
                path[length++] = c;
        }
        node = reinterpret_cast<DevicePath const*>(reinterpret_cast<std::uint8_t const*>(node) + bytes);
    }
    for (std::size_t i = 0; i < length; ++i)
        if (path[i] == u'\\')
            folder_end = i + 1;
    length = folder_end;
    for (; *name != 0 && length < 511; ++name)
        path[length++] = *name;
    path[length] = 0;

    File* root = nullptr;
    File* file = nullptr;
    auto* const volume = static_cast<FileSystem*>(interface);
    if (volume->open_volume(volume, &root) != success)
        return {};
    Buffer result;
    if (root->open(root, &file, path, 1, 0) == success) {
        FileInfo info;
        std::uint64_t info_bytes = sizeof(info);
        if (file->get_info(file, &file_info_guid, &info_bytes, &info) == success) {
            void* memory = nullptr;
            result.bytes = info.file_bytes;
            if (boot_->allocate_pool(MemoryType::loader_data, result.bytes + 1, &memory) == success &&
                file->read(file, &result.bytes, memory) == success && result.bytes == info.file_bytes)
                result.data = static_cast<std::uint8_t*>(memory);
        }
        file->close(file);
    }
    root->close(root);
    return result;
}

void Firmware::free(Buffer& buffer)
{
    if (buffer.data != nullptr) {
        // The configuration holds keys: they must not stay in memory that the operating system gets.
        __builtin_memset(buffer.data, 0, buffer.bytes);
        asm volatile("" : : "r"(buffer.data) : "memory");
        boot_->free_pool(buffer.data);
    }
    buffer = {};
}

std::uint64_t Firmware::reserve(std::uint64_t bytes, std::uint64_t align)
{
    std::uint64_t const pages = bytes / 4096, extra = align / 4096;
    std::uint64_t address = 0xFFFFFFFF;
    if (boot_->allocate_pages(AllocateType::max_address, MemoryType::reserved, pages + extra, &address) != success &&
        boot_->allocate_pages(AllocateType::any, MemoryType::reserved, pages + extra, &address) != success)
        return 0;
    std::uint64_t const aligned = (address + align - 1) & ~(align - 1);
    std::uint64_t const before = (aligned - address) / 4096;
    if (before != 0)
        boot_->free_pages(address, before);
    if (extra > before)
        boot_->free_pages(aligned + bytes, extra - before);
    __builtin_memset(reinterpret_cast<void*>(aligned), 0, bytes);
    return aligned;
}

void Firmware::release_networks()
{
    std::uint64_t count = 0;
    Handle* handles = nullptr;
    if (boot_->locate_handle_buffer(search_by_protocol, &pci_io_guid, nullptr, &count, &handles) != success)
        return;
    for (std::uint64_t i = 0; i < count; ++i) {
        void* interface = nullptr;
        std::uint32_t class_code = 0;
        if (boot_->handle_protocol(handles[i], &pci_io_guid, &interface) != success)
            continue;
        auto* const pci = static_cast<PciIo*>(interface);
        if (pci->config_read(pci, pci_width_u32, 8, 1, &class_code) == success && class_code >> 16 == class_ethernet)
            boot_->disconnect_controller(handles[i], nullptr, nullptr);
    }
    boot_->free_pool(handles);
}

bool Firmware::describe(boot::BootInfo& info)
{
    Guid const guids[] = {acpi10_guid, acpi20_guid}; // the later one wins
    for (Guid const& guid : guids)
        for (std::uint64_t i = 0; i < system_->table_count; ++i)
            if (system_->tables[i].guid == guid)
                info.rsdp = reinterpret_cast<std::uint64_t>(system_->tables[i].table);
    add_time(info);
    add_random(info);
    return add_memory(info);
}

bool Firmware::measure_ram(boot::RamExtent& ram)
{
    void* memory = nullptr;
    if (boot_->allocate_pool(MemoryType::loader_data, sizeof(boot::BootInfo), &memory) != success)
        return false;
    auto* const info = static_cast<boot::BootInfo*>(memory);
    info->region_start = info->region_bytes = 0;
    bool const done = add_memory(*info);
    if (done)
        ram = boot::ram_extent(info->memory, info->memory_ranges);
    boot_->free_pool(memory);
    return done;
}

bool Firmware::add_memory(boot::BootInfo& info)
{
    std::uint64_t bytes = 0, key = 0, stride = 0;
    std::uint32_t version = 0;
    boot_->get_memory_map(&bytes, nullptr, &key, &stride, &version);
    bytes += 16 * (stride != 0 ? stride : sizeof(MemoryDescriptor));
    void* memory = nullptr;
    if (boot_->allocate_pool(MemoryType::loader_data, bytes, &memory) != success)
        return false;
    auto* const map = static_cast<std::uint8_t*>(memory);
    bool const done =
        boot_->get_memory_map(&bytes, reinterpret_cast<MemoryDescriptor*>(map), &key, &stride, &version) == success &&
        list_ram({map, bytes, stride}, info);
    boot_->free_pool(memory);
    return done;
}

std::uint64_t Firmware::measure_tsc_hz()
{
    constexpr std::uint64_t short_us = 1000, long_us = 6000;
    std::uint64_t shortest[2] = {~0ULL, ~0ULL};
    for (unsigned round = 0; round < 16; ++round)
        for (unsigned i = 0; i < 2; ++i) {
            std::uint64_t const before = read_tsc();
            boot_->stall(i == 0 ? short_us : long_us);
            std::uint64_t const taken = read_tsc() - before;
            shortest[i] = taken < shortest[i] ? taken : shortest[i];
        }
    // What disturbs a Stall (SMM, a busy host beneath) makes it longer, never shorter: the smaller rate is the better
    // one. In the difference of both what a call costs is not contained; where it is far off, all of one kind were
    // disturbed.
    std::uint64_t const by_short = shortest[0] * (1000000 / short_us), by_long = shortest[1] * 1000 / (long_us / 1000);
    std::uint64_t const limit = by_short < by_long ? by_short : by_long;
    std::uint64_t const by_difference = (shortest[1] - shortest[0]) * (1000000 / (long_us - short_us));
    return by_difference <= limit && by_difference > limit - limit / 16 ? by_difference : limit;
}

void Firmware::add_time(boot::BootInfo& info)
{
    info.tsc_hz = measure_tsc_hz();
    Time time{};
    if (system_->runtime->get_time(&time, nullptr) == success) {
        std::int64_t seconds = boot::days_from_civil(time.year, time.month, time.day) * 86400 + time.hour * 3600 +
                               time.minute * 60 + time.second;
        if (time.time_zone != 2047) // EFI_UNSPECIFIED_TIMEZONE: taken as UTC
            seconds += std::int64_t{time.time_zone} * 60;
        info.firmware_utc_ns = static_cast<std::uint64_t>(seconds) * 1000000000 + time.nanosecond;
    }
    info.firmware_tsc = read_tsc();
}

void Firmware::add_random(boot::BootInfo& info)
{
    void* interface = nullptr;
    boot::Seeds seeds;
    bool done = false;
    if (boot_->locate_protocol(&rng_guid, nullptr, &interface) == success) {
        auto* const rng = static_cast<Rng*>(interface);
        done = rng->get_rng(rng, nullptr, sizeof(seeds.bytes), seeds.bytes) == success;
    }
    if (!done)
        boot::add_jitter(seeds, info.firmware_utc_ns ^ info.firmware_tsc, read_tsc);
    seeds.store(info);
}

} // namespace undercroft::efi
