// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// undercroft.mb2: GRUB starts it on a BIOS machine with core.elf and undercroft.conf as modules. It takes memory out of
// the BIOS's map, puts every CPU under the core, and starts the boot sector of the next drive in real mode: the BIOS,
// the boot loader and the operating system then run as on the bare machine.
#include "hypervisor/boot/boot_info.hpp"
#include "hypervisor/boot/elf.hpp"
#include "hypervisor/boot/explain.hpp"
#include "hypervisor/boot/multiboot2/bios.hpp"
#include "hypervisor/boot/multiboot2/clocks.hpp"
#include "hypervisor/boot/multiboot2/machine_map.hpp"
#include "hypervisor/boot/multiboot2/processors.hpp"
#include "hypervisor/boot/multiboot2/tags.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/x86.hpp"

extern "C" std::uint8_t loader_end[];

namespace undercroft::multiboot2 {
namespace {

using boot::BootInfo;
using boot::CoreHeader;
using boot::StartResult;

constexpr std::uint64_t huge_page = 2ULL << 20, loader_start = 2ULL << 20;
/// Below lie the buffers of old cards; beyond, many firmware drivers and the BIOS itself cannot look.
constexpr std::uint64_t region_floor = 16ULL << 20, region_limit = 4ULL << 30;
constexpr std::uint32_t multiboot2_magic = 0x36D76289;

LowBlock* screen = nullptr;
constinit BootInfo boot_info{};
constinit MachineMap machine_map;

void print_number(LowBlock& low, unsigned value)
{
    char digits[12];
    unsigned at = sizeof(digits);
    do {
        digits[--at] = static_cast<char>('0' + value % 10);
        value /= 10;
    } while (value != 0);
    print(low, {digits + at, sizeof(digits) - at});
}

template <typename T>
T* pointer(std::uint64_t address)
{
    return reinterpret_cast<T*>(address);
}

/// Keys and secrets must not stay in memory that the operating system gets.
void wipe(void* memory, std::size_t bytes)
{
    __builtin_memset(memory, 0, bytes);
    asm volatile("" : : "r"(memory) : "memory");
}

class Loader {
public:
    explicit Loader(LowBlock& low) : low_{&low} {}

    /// Reads the BIOS's map and takes the block in conventional memory out of it.
    bool read_map();
    bool find_files(BootTags const& tags);
    /// True: this CPU and all others are under the sensor.
    bool start();
    bool fail(std::string_view why, unsigned config_line = 0);
    /// Has the BIOS report the map as it is now; once.
    void take_over();
    void wipe_files();

private:
    bool describe_machine();
    bool wake_processors();
    bool load_and_enter();
    std::uint64_t required_bytes();
    CoreHeader const* load_core(std::uint64_t region, std::uint64_t bytes);
    BootInfo const* complete_boot_info(std::uint64_t region, std::uint64_t bytes);
    bool enter(CoreHeader const& core);

    LowBlock* low_;
    Module core_{}, config_{};
    boot::MemoryRange taken_[1 + BootTags::max_modules] = {};
    Processors processors_{0};
    bool map_known_ = false, taken_over_ = false, entering_ = false;
};

bool Loader::fail(std::string_view why, unsigned config_line)
{
    print(*low_, "undercroft: error: ");
    if (config_line != 0) {
        print(*low_, "undercroft.conf line ");
        print_number(*low_, config_line);
        print(*low_, ": ");
    }
    print(*low_, why);
    print(*low_, "; the system starts without the sensor.\r\n");
    return false;
}

bool Loader::read_map()
{
    constexpr std::uint64_t conventional_end = 0xA0000;
    MemoryMap& map = machine_map.map;
    if (!read_memory_map(*low_, map))
        return fail("the BIOS gives no usable memory map (INT 15h E820)");
    if (!map.usable(low_->start(), LowBlock::bytes()) || !map.hide(low_->start(), conventional_end - low_->start()))
        return fail("no conventional memory left");
    return map_known_ = true;
}

/// Modules are told apart by what they are: GRUB does not pass their names on.
bool Loader::find_files(BootTags const& tags)
{
    constexpr std::uint32_t elf_magic = 0x464C457F, first_mib = 1U << 20;
    taken_[0] = {loader_start, reinterpret_cast<std::uint64_t>(loader_end) - loader_start};
    for (std::size_t i = 0; i < tags.module_count; ++i) {
        Module const& module = tags.modules[i];
        std::uint32_t const bytes = module.end - module.start;
        if (module.start < first_mib)
            return fail("GRUB has put a module below 1 MiB");
        taken_[1 + i] = {module.start, bytes};
        bool const elf = bytes >= sizeof(elf_magic) && *pointer<std::uint32_t const>(module.start) == elf_magic;
        (elf ? core_ : config_) = module;
    }
    if (tags.module_count != 2 || core_.end == 0 || config_.end == 0)
        return fail("it takes two modules: core.elf and undercroft.conf");
    return config_.end - config_.start <= boot::max_config_bytes || fail("undercroft.conf is larger than 16 KiB");
}

bool Loader::describe_machine()
{
    machine_map.read();
    std::uint64_t const tsc_hz = measure_tsc_hz(machine_map.acpi);
    if (tsc_hz == 0)
        return fail("no timer to measure the time-stamp counter with");
    boot_info.magic = boot::boot_info_magic;
    boot_info.bytes = sizeof(boot_info);
    boot_info.route = boot::BootRoute::bios;
    boot_info.rsdp = machine_map.rsdp;
    boot_info.tsc_hz = tsc_hz;
    boot_info.firmware_utc_ns = read_clock_utc_ns();
    boot_info.firmware_tsc = core::read_tsc();
    gather_seeds(boot_info.firmware_utc_ns ^ boot_info.firmware_tsc).store(boot_info);
    processors_ = Processors{tsc_hz};
    return true;
}

bool Loader::wake_processors()
{
    if (!processors_.wake(*low_, {machine_map.acpi.cpus.begin(), machine_map.acpi.cpus.size()}))
        return fail(boot::explain(StartResult::too_many_cpus));
    if (processors_.silent() != 0) {
        print(*low_, "undercroft: warning: CPUs that do not start, neither now nor for the system: ");
        print_number(*low_, processors_.silent());
        print(*low_, "\r\n");
    }
    boot_info.cpus = processors_.count();
    return true;
}

/// Leaves in free_start where the boot information can lie, behind the image.
CoreHeader const* Loader::load_core(std::uint64_t region, std::uint64_t bytes)
{
    boot::ElfImage const image =
        boot::load_elf(pointer<std::uint8_t const>(core_.start), core_.end - core_.start, region, bytes);
    auto const* const core = reinterpret_cast<CoreHeader const*>(image.entry);
    if (core == nullptr || core->magic != boot::core_header_magic)
        return nullptr;
    boot_info.free_start = (image.end + 4095) & ~4095ULL;
    return core;
}

/// Asks a first copy of the core what its region must hold. 0: the error is on the screen.
std::uint64_t Loader::required_bytes()
{
    auto const place = machine_map.map.find(boot::max_core_bytes, huge_page, region_floor, region_limit, taken_);
    if (!place)
        return fail(boot::explain(StartResult::out_of_memory)), 0;
    CoreHeader const* const core = load_core(*place, boot::max_core_bytes);
    if (core == nullptr)
        return fail("core.elf is damaged or of another version"), 0;
    boot::ConfigProblem problem{};
    auto const ranges = machine_map.ram.ranges();
    boot::RamExtent const ram = boot::ram_extent(ranges.data(), ranges.size());
    std::uint64_t const bytes = core->required_bytes(pointer<char const>(config_.start), config_.end - config_.start,
                                                     boot_info.cpus, &ram, &problem);
    if (bytes == 0)
        fail(problem.message, problem.line);
    return bytes;
}

BootInfo const* Loader::complete_boot_info(std::uint64_t region, std::uint64_t bytes)
{
    auto* const info = pointer<BootInfo>(boot_info.free_start);
    boot_info.free_start = (boot_info.free_start + sizeof(boot_info) + 4095) & ~4095ULL;
    boot_info.region_start = region;
    boot_info.region_bytes = bytes;
    boot_info.config_bytes = config_.end - config_.start;
    __builtin_memcpy(boot_info.config, pointer<char const>(config_.start), boot_info.config_bytes);
    RamRanges ram = machine_map.ram;
    ram.exclude(region, bytes);
    for (boot::MemoryRange const& range : ram.ranges())
        boot_info.memory[boot_info.memory_ranges++] = range;
    *info = boot_info;
    wipe(&boot_info, sizeof(boot_info));
    return info;
}

bool Loader::start()
{
    bool const good = describe_machine() && wake_processors() && load_and_enter();
    if (!entering_) // else they are, or may be, in the sensor
        processors_.park();
    return good;
}

bool Loader::load_and_enter()
{
    std::uint64_t const bytes = required_bytes();
    if (bytes == 0)
        return false;
    auto const region = machine_map.map.find(bytes, huge_page, region_floor, region_limit, taken_);
    if (!region)
        return fail(boot::explain(StartResult::out_of_memory));
    MemoryMap left = machine_map.map;
    if (!left.hide(*region, bytes))
        return fail("the BIOS's memory map is too long");
    CoreHeader const* const core = load_core(*region, bytes);
    if (core == nullptr)
        return fail(boot::explain(StartResult::bad_boot_info));
    StartResult const result = core->prepare(complete_boot_info(*region, bytes));
    if (result != StartResult::ok)
        return fail(boot::explain(result));
    machine_map.map = left;
    take_over();
    return enter(*core);
}

bool Loader::enter(CoreHeader const& core)
{
    entering_ = true;
    if (!processors_.enter(core))
        return fail("some CPUs could not be put under the sensor");
    StartResult const result = core.enter(0);
    if (result != StartResult::ok)
        return fail(boot::explain(result));
    processors_.park(); // by the sensor, whose guest this CPU is now
    return true;
}

void Loader::take_over()
{
    if (map_known_ && !taken_over_)
        low_->take_over(machine_map.map, memory_sizes(*low_, machine_map.map));
    taken_over_ = map_known_;
}

void Loader::wipe_files()
{
    wipe(pointer<void>(config_.start), config_.end - config_.start);
    wipe(pointer<void>(core_.start), core_.end - core_.start);
    wipe(&boot_info, sizeof(boot_info));
}

[[noreturn]] void no_boot_sector(LowBlock& low, std::uint8_t drive)
{
    print(low, "undercroft: error: no boot sector on drive ");
    print_number(low, drive);
    print(low, " (0x80 is 128); choose another one with boot_drive= on GRUB's multiboot2 line.\r\n");
    RealRegisters registers;
    low.interrupt(0x18, registers); // the BIOS's own "nothing to boot"
    for (;;)
        asm volatile("hlt");
}

} // namespace

/// GRUB's magic and the address of its information structure.
extern "C" [[noreturn]] void loader_main(std::uint32_t magic, std::uint32_t tags_at)
{
    constexpr std::uint32_t most_bytes = 1U << 20;
    auto const tags = read_tags({pointer<std::uint8_t const>(tags_at), most_bytes});
    Options const options = tags ? read_options(tags->command_line) : Options{};
    LowBlock low; // from here on the structure may be overwritten
    screen = &low;
    while (magic != multiboot2_magic || !tags || low.start() == 0)
        asm volatile("hlt"); // not GRUB, or not a PC: nobody to tell
    std::uint8_t const drive = next_drive(options, *tags);
    if (!load_boot_sector(low, drive))
        no_boot_sector(low, drive);
    Loader loader{low};
    bool const started = loader.read_map() && loader.find_files(*tags) &&
                         (options.good || loader.fail("unknown word on GRUB's multiboot2 line")) && loader.start();
    if (!started)
        loader.take_over();
    loader.wipe_files();
    low.leave_mark(started ? mark_started : mark_failed);
    low.start_boot_sector(drive);
}

} // namespace undercroft::multiboot2

namespace undercroft::core {

/// What reading the tables has to say.
void log_line(LogLevel /*level*/, std::string_view text)
{
    multiboot2::print(*multiboot2::screen, "undercroft: ");
    multiboot2::print(*multiboot2::screen, text);
    multiboot2::print(*multiboot2::screen, "\r\n");
}

} // namespace undercroft::core
