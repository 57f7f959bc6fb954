// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The part of the UEFI 2.10 interface that the loader calls (chapters 4, 7, 9, 13, PI 1.7 vol. 2
// 13.4 for MP services). Unused table members keep their place as `void*`.
#include <cstddef>
#include <cstdint>

namespace undercroft::efi {

#define UC_EFIAPI __attribute__((ms_abi))

using Status = std::uint64_t;
using Handle = void*;
using Event = void*;
inline constexpr Status success = 0;
inline constexpr Status error_bit = 1ULL << 63;
inline constexpr Status load_error = error_bit | 1;
inline constexpr Status invalid_parameter = error_bit | 2;
inline constexpr Status unsupported = error_bit | 3;
inline constexpr Status buffer_too_small = error_bit | 5;
inline constexpr Status out_of_resources = error_bit | 9;
inline constexpr Status not_found = error_bit | 14;
inline constexpr Status not_started = error_bit | 19;
inline constexpr Status aborted = error_bit | 21;

struct Guid {
    std::uint32_t a;
    std::uint16_t b, c;
    std::uint8_t d[8];
    bool operator==(Guid const&) const = default;
};
inline constexpr Guid loaded_image_guid{0x5B1B31A1, 0x9562, 0x11d2, {0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
inline constexpr Guid file_system_guid{0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0x0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
inline constexpr Guid mp_services_guid{0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};
inline constexpr Guid pci_io_guid{0x4cf5b200, 0x68b8, 0x4ca5, {0x9e, 0xec, 0xb2, 0x3e, 0x3f, 0x50, 0x02, 0x9a}};
inline constexpr Guid rng_guid{0x3152bca5, 0xeade, 0x433d, {0x86, 0x2e, 0xc0, 0x1c, 0xdc, 0x29, 0x1f, 0x44}};
inline constexpr Guid acpi20_guid{0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};
inline constexpr Guid acpi10_guid{0xeb9d2d30, 0x2d88, 0x11d3, {0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
inline constexpr Guid file_info_guid{0x09576e92, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};

struct TableHeader {
    std::uint64_t signature;
    std::uint32_t revision, header_size, crc32, reserved;
};

struct TextOutput {
    void* reset;
    Status(UC_EFIAPI* output_string)(TextOutput*, char16_t const*);
};

struct Time {
    std::uint16_t year;
    std::uint8_t month, day, hour, minute, second, pad1;
    std::uint32_t nanosecond;
    std::int16_t time_zone; ///< minutes west of UTC is positive in UEFI: local = UTC - time_zone
    std::uint8_t daylight, pad2;
};

struct RuntimeServices {
    TableHeader header;
    Status(UC_EFIAPI* get_time)(Time*, void*);
    void* rest[13];
};

enum class MemoryType : std::uint32_t {
    reserved = 0,
    loader_code,
    loader_data,
    boot_code,
    boot_data,
    runtime_code,
    runtime_data,
    conventional,
    unusable,
    acpi_reclaim,
    acpi_nvs,
    mmio,
    mmio_port,
    pal,
    persistent,
};
struct MemoryDescriptor {
    MemoryType type;
    std::uint32_t pad;
    std::uint64_t physical_start, virtual_start, pages, attribute;
};
inline constexpr std::uint64_t memory_wb = 8;

enum class AllocateType : std::uint32_t { any, max_address, address };

struct BootServices {
    TableHeader header;
    void* raise_tpl;
    void* restore_tpl;
    Status(UC_EFIAPI* allocate_pages)(AllocateType, MemoryType, std::uint64_t pages, std::uint64_t* address);
    Status(UC_EFIAPI* free_pages)(std::uint64_t address, std::uint64_t pages);
    Status(UC_EFIAPI* get_memory_map)(std::uint64_t* bytes, MemoryDescriptor*, std::uint64_t* key,
                                      std::uint64_t* descriptor_bytes, std::uint32_t* version);
    Status(UC_EFIAPI* allocate_pool)(MemoryType, std::uint64_t bytes, void** buffer);
    Status(UC_EFIAPI* free_pool)(void*);
    Status(UC_EFIAPI* create_event)(std::uint32_t type, std::uint64_t tpl, void(UC_EFIAPI* notify)(Event, void*),
                                    void* context, Event*);
    void* set_timer;
    void* wait_for_event;
    void* signal_event;
    void* close_event;
    void* check_event;
    void* install_protocol;
    void* reinstall_protocol;
    void* uninstall_protocol;
    Status(UC_EFIAPI* handle_protocol)(Handle, Guid const*, void** interface);
    void* reserved;
    void* register_protocol_notify;
    void* locate_handle;
    void* locate_device_path;
    void* install_configuration_table;
    void* load_image;
    void* start_image;
    void* exit;
    void* unload_image;
    void* exit_boot_services;
    void* get_next_monotonic_count;
    Status(UC_EFIAPI* stall)(std::uint64_t microseconds);
    void* set_watchdog_timer;
    void* connect_controller;
    Status(UC_EFIAPI* disconnect_controller)(Handle, Handle driver, Handle child);
    void* open_protocol;
    void* close_protocol;
    void* open_protocol_information;
    void* protocols_per_handle;
    Status(UC_EFIAPI* locate_handle_buffer)(std::uint32_t search, Guid const*, void* key, std::uint64_t* count,
                                            Handle** buffer);
    Status(UC_EFIAPI* locate_protocol)(Guid const*, void* registration, void** interface);
};
inline constexpr std::uint32_t event_signal_exit_boot_services = 0x00000201;
inline constexpr std::uint64_t tpl_callback = 8;
inline constexpr std::uint32_t search_by_protocol = 2;

struct ConfigurationTable {
    Guid guid;
    void* table;
};

struct SystemTable {
    TableHeader header;
    char16_t* vendor;
    std::uint32_t revision, pad;
    Handle console_in_handle;
    void* console_in;
    Handle console_out_handle;
    TextOutput* console_out;
    Handle error_handle;
    TextOutput* error_out;
    RuntimeServices* runtime;
    BootServices* boot;
    std::uint64_t table_count;
    ConfigurationTable* tables;
};

struct DevicePath {
    std::uint8_t type, subtype, length[2];
};

struct LoadedImage {
    std::uint32_t revision, pad;
    Handle parent;
    SystemTable* system;
    Handle device;
    DevicePath* file_path;
    void* reserved;
    std::uint32_t options_bytes, pad2;
    void* options;
};

struct File {
    std::uint64_t revision;
    Status(UC_EFIAPI* open)(File*, File** out, char16_t const* name, std::uint64_t mode, std::uint64_t attributes);
    Status(UC_EFIAPI* close)(File*);
    void* remove;
    Status(UC_EFIAPI* read)(File*, std::uint64_t* bytes, void* buffer);
    void* write;
    void* get_position;
    void* set_position;
    Status(UC_EFIAPI* get_info)(File*, Guid const*, std::uint64_t* bytes, void* buffer);
};
struct FileInfo {
    std::uint64_t bytes, file_bytes, physical_bytes;
    Time create, access, modify;
    std::uint64_t attribute;
    char16_t name[256];
};
struct FileSystem {
    std::uint64_t revision;
    Status(UC_EFIAPI* open_volume)(FileSystem*, File**);
};

struct MpServices {
    Status(UC_EFIAPI* count)(MpServices*, std::uint64_t* all, std::uint64_t* enabled);
    void* get_info;
    Status(UC_EFIAPI* startup_all)(MpServices*, void(UC_EFIAPI* procedure)(void*), bool single_thread, Event wait,
                                   std::uint64_t timeout_us, void* argument, std::uint64_t** failed);
    void* startup_this;
    void* switch_bsp;
    void* enable_disable;
    Status(UC_EFIAPI* who_am_i)(MpServices*, std::uint64_t* number);
};

struct PciIo {
    void* poll_mem;
    void* poll_io;
    void* mem[2];
    void* io[2];
    Status(UC_EFIAPI* config_read)(PciIo*, std::uint32_t width, std::uint32_t offset, std::uint64_t count,
                                   void* buffer);
    void* config_write;
    void* copy_mem;
    void* map;
    void* unmap;
    void* allocate_buffer;
    void* free_buffer;
    void* flush;
    Status(UC_EFIAPI* get_location)(PciIo*, std::uint64_t* segment, std::uint64_t* bus, std::uint64_t* device,
                                    std::uint64_t* function);
};

struct Rng {
    void* get_info;
    Status(UC_EFIAPI* get_rng)(Rng*, Guid const* algorithm, std::uint64_t bytes, std::uint8_t* out);
};

} // namespace undercroft::efi
