// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// \EFI\BOOT\BOOTX64.EFI of machines whose firmware keeps no variables (OVMF in Bochs): starts
// the sensor as the boot manager would, then an uncompressed Linux kernel as its EFI stub
// would. Boot protocol: Linux, Documentation/x86/boot.rst and zero-page.rst.
#include "hypervisor/boot/uefi/efi.hpp"

// The compiler may call these.
extern "C" void* memcpy(void* to, void const* from, std::size_t bytes)
{
    void* const result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return result;
}
extern "C" void* memset(void* to, int value, std::size_t bytes)
{
    void* const result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return result;
}

namespace {

using namespace undercroft::efi;
using LoadImage = Status(UC_EFIAPI*)(bool policy, Handle parent, DevicePath*, void* buffer, std::uint64_t bytes,
                                     Handle*);
using StartImage = Status(UC_EFIAPI*)(Handle, std::uint64_t* bytes, char16_t** text);
using ExitBootServices = Status(UC_EFIAPI*)(Handle, std::uint64_t key);
using SetPosition = Status(UC_EFIAPI*)(File*, std::uint64_t);

constexpr Guid device_path_guid{0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
constexpr char16_t sensor_path[] = u"\\EFI\\undercroft\\undercroft.efi";
constexpr std::uint64_t two_mib = 2 << 20;
constexpr std::uint32_t elf_load = 1;

struct Segment {
    std::uint32_t type, flags;
    std::uint64_t offset, virtual_address, physical_address, file_bytes, bytes, align;
};
struct Loaded {
    std::uint64_t at = 0, bytes = 0;
};
struct __attribute__((packed)) E820 {
    std::uint64_t start, bytes;
    std::uint32_t type;
};

SystemTable* system_table;
BootServices* boot;

/// For the counter outside the machine (testbed/probe/bochs_counter.c).
void mark(std::uint8_t number)
{
    asm volatile("outb %0, %1" : : "a"(number), "d"(std::uint16_t{0x8901}));
}

void say(char16_t const* text)
{
    system_table->console_out->output_string(system_table->console_out, text);
}

[[noreturn]] void fail(char16_t const* text)
{
    say(u"boot loader: ");
    say(text);
    say(u"\r\n");
    for (;;)
        asm volatile("cli; hlt");
}

std::uint64_t allocate(std::uint64_t bytes)
{
    std::uint64_t at = 0xFFFFFFFF;
    if (boot->allocate_pages(AllocateType::max_address, MemoryType::loader_code, (bytes + 4095) / 4096, &at) != success)
        fail(u"out of memory");
    return at;
}

/// Starts the sensor from its path, so that it finds the files beside it.
void start_sensor(Handle self, Handle device)
{
    void* interface = nullptr;
    if (boot->handle_protocol(device, &device_path_guid, &interface) != success)
        fail(u"the partition has no device path");
    alignas(8) static std::uint8_t path[512];
    auto const* const from = static_cast<std::uint8_t const*>(interface);
    std::size_t used = 0;
    while (from[used] != 0x7F && used < 256)
        used += from[used + 2] | from[used + 3] << 8;
    memcpy(path, from, used);
    std::size_t const node = 4 + sizeof sensor_path;
    path[used] = 4, path[used + 1] = 4, path[used + 2] = node & 0xFF, path[used + 3] = node >> 8;
    memcpy(path + used + 4, sensor_path, sizeof sensor_path);
    path[used + node] = 0x7F, path[used + node + 1] = 0xFF, path[used + node + 2] = 4;
    Handle image = nullptr;
    auto* const where = reinterpret_cast<DevicePath*>(path);
    if (reinterpret_cast<LoadImage>(boot->load_image)(true, self, where, nullptr, 0, &image) != success)
        fail(u"undercroft.efi cannot be loaded");
    (void)reinterpret_cast<StartImage>(boot->start_image)(image, nullptr, nullptr);
}

File* open(File* root, char16_t const* name)
{
    File* file = nullptr;
    return root->open(root, &file, name, 1, 0) == success ? file : nullptr;
}

void read_at(File* file, std::uint64_t offset, void* into, std::uint64_t bytes)
{
    std::uint64_t got = bytes;
    if (reinterpret_cast<SetPosition>(file->set_position)(file, offset) != success ||
        file->read(file, &got, into) != success || got != bytes)
        fail(u"a file ends early");
}

std::uint64_t size_of(File* file)
{
    static FileInfo info;
    std::uint64_t bytes = sizeof info;
    if (file->get_info(file, &file_info_guid, &bytes, &info) != success)
        fail(u"a file has no size");
    return info.file_bytes;
}

/// Files one behind the other; those that are not there are left out.
template <std::size_t count>
Loaded load_files(File* root, char16_t const* const (&names)[count])
{
    File* files[count];
    std::uint64_t sizes[count] = {}, all = 1;
    for (std::size_t i = 0; i < count; ++i) {
        files[i] = open(root, names[i]);
        all += sizes[i] = files[i] == nullptr ? 0 : size_of(files[i]);
    }
    Loaded result{allocate(all), 0};
    for (std::size_t i = 0; i < count; ++i) {
        if (sizes[i] != 0)
            read_at(files[i], 0, reinterpret_cast<void*>(result.at + result.bytes), sizes[i]);
        result.bytes += sizes[i];
    }
    return result;
}

/// Puts the ELF file's segments into memory; the kernel may lie anywhere on a 2 MiB boundary
/// as long as its parts keep their distances. Returns its entry.
std::uint64_t load_kernel(File* root)
{
    File* const file = open(root, u"\\EFI\\linux\\vmlinux");
    if (file == nullptr)
        fail(u"there is no kernel");
    static std::uint8_t header[4096];
    read_at(file, 0, header, sizeof header);
    auto const* const segments = reinterpret_cast<Segment const*>(header + 64);
    unsigned const count = header[56];
    std::uint64_t end = 0;
    for (unsigned i = 0; i < count; ++i)
        end = segments[i].physical_address + segments[i].bytes;
    std::uint64_t const begin = segments[0].physical_address;
    std::uint64_t const base = (allocate(end - begin + two_mib) + two_mib - 1) & ~(two_mib - 1);
    for (unsigned i = 0; i < count; ++i) {
        auto const& segment = segments[i];
        if (segment.type != elf_load)
            fail(u"the kernel has an unexpected segment");
        auto* const to = reinterpret_cast<std::uint8_t*>(base + segment.physical_address - begin);
        read_at(file, segment.offset, to, segment.file_bytes);
        memset(to + segment.file_bytes, 0, segment.bytes - segment.file_bytes);
    }
    return base;
}

std::uint32_t e820_type(MemoryType type)
{
    switch (type) {
    case MemoryType::loader_code:
    case MemoryType::loader_data:
    case MemoryType::boot_code:
    case MemoryType::boot_data:
    case MemoryType::conventional:
        return 1;
    case MemoryType::acpi_reclaim:
        return 3;
    case MemoryType::acpi_nvs:
        return 4;
    default:
        return 2;
    }
}

template <typename T>
void put(std::uint8_t* page, std::size_t offset, T value)
{
    memcpy(page + offset, &value, sizeof value);
}

/// The memory map in both forms that the kernel takes, then the end of boot services.
void leave_firmware(Handle self, std::uint8_t* page)
{
    constexpr std::size_t map_bytes = 32768;
    auto* const map = reinterpret_cast<std::uint8_t*>(allocate(map_bytes));
    std::uint64_t bytes = map_bytes, key = 0, step = 0;
    std::uint32_t version = 0;
    if (boot->get_memory_map(&bytes, reinterpret_cast<MemoryDescriptor*>(map), &key, &step, &version) != success ||
        reinterpret_cast<ExitBootServices>(boot->exit_boot_services)(self, key) != success)
        fail(u"the firmware does not let go");
    unsigned entries = 0;
    E820 last{};
    for (std::uint64_t at = 0; at < bytes; at += step) {
        auto const* const entry = reinterpret_cast<MemoryDescriptor const*>(map + at);
        E820 const now{entry->physical_start, entry->pages * 4096, e820_type(entry->type)};
        if (entries != 0 && last.type == now.type && last.start + last.bytes == now.start) {
            last.bytes += now.bytes;
            --entries;
        } else {
            last = now;
        }
        if (entries < 128)
            put(page, 0x2D0 + entries++ * sizeof(E820), last);
    }
    put(page, 0x1E8, static_cast<std::uint8_t>(entries));
    auto const systab = reinterpret_cast<std::uint64_t>(system_table), where = reinterpret_cast<std::uint64_t>(map);
    put(page, 0x1C0, 0x34364C45); // efi_info: "EL64"
    put(page, 0x1C4, static_cast<std::uint32_t>(systab));
    put(page, 0x1C8, static_cast<std::uint32_t>(step));
    put(page, 0x1CC, version);
    put(page, 0x1D0, static_cast<std::uint32_t>(where));
    put(page, 0x1D4, static_cast<std::uint32_t>(bytes));
    put(page, 0x1D8, static_cast<std::uint32_t>(systab >> 32));
    put(page, 0x1DC, static_cast<std::uint32_t>(where >> 32));
}

} // namespace

extern "C" Status UC_EFIAPI efi_main(Handle self, SystemTable* system)
{
    system_table = system;
    boot = system->boot;
    mark(10);
    void* interface = nullptr;
    if (boot->handle_protocol(self, &loaded_image_guid, &interface) != success)
        fail(u"this image is not loaded");
    Handle const device = static_cast<LoadedImage*>(interface)->device;
    File* root = nullptr;
    if (boot->handle_protocol(device, &file_system_guid, &interface) != success ||
        static_cast<FileSystem*>(interface)->open_volume(static_cast<FileSystem*>(interface), &root) != success)
        fail(u"the partition has no file system");
    if (File* const sensor = open(root, sensor_path)) {
        sensor->close(sensor);
        start_sensor(self, device);
    }
    say(u"boot loader: Linux\r\n");
    std::uint64_t const kernel = load_kernel(root);
    Loaded const initrd = load_files(root, {u"\\EFI\\linux\\initrd.img", u"\\EFI\\linux\\run.img"});
    Loaded const header = load_files(root, {u"\\EFI\\linux\\setup_header.bin"});
    Loaded const line = load_files(root, {u"\\EFI\\linux\\command_line.txt"});
    reinterpret_cast<char*>(line.at)[line.bytes] = '\0';
    auto* const page = reinterpret_cast<std::uint8_t*>(allocate(4096));
    memset(page, 0, 4096);
    memcpy(page + 0x1F1, reinterpret_cast<void const*>(header.at), header.bytes);
    page[0x210] = 0xFF; // type_of_loader: unknown
    page[0x211] |= 1;   // loadflags: LOADED_HIGH
    put(page, 0x218, static_cast<std::uint32_t>(initrd.at));
    put(page, 0x21C, static_cast<std::uint32_t>(initrd.bytes));
    put(page, 0x228, static_cast<std::uint32_t>(line.at));
    leave_firmware(self, page);
    mark(11);
    asm volatile("cli; jmp *%0" : : "r"(kernel), "S"(page) : "memory");
    __builtin_unreachable();
}
