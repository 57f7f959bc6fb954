// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Building the machine: memory, tables, CPUs, intercepts. Runs once, on the boot CPU, in
// the firmware's environment.
#include <algorithm>

#include "hypervisor/core/host_environment.hpp"
#include "hypervisor/core/local_apic.hpp"
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/log_reader.hpp"
#include "hypervisor/core/machine.hpp"
#include "hypervisor/core/region_size.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {
namespace {

/// Of the sensor's own page tables.
paging::TableCapabilities host_capabilities()
{
    paging::TableCapabilities result;
    result.pages_1g = (cpuid(0x80000001).edx & 1U << 26) != 0;
    result.address_bits = static_cast<std::uint8_t>(cpuid(0x80000008).eax & 0xFF);
    return result;
}

/// Gives the sensor's log UTC once there is a clock.
std::uint64_t log_time()
{
    return machine().utc_now_ns();
}

void note_nmi()
{
    if (PerCpu* const self = machine().current())
        self->driver->note_nmi();
}

/// Longest time an idle CPU stays in the sensor without an answer, before it halts.
constexpr std::uint64_t idle_slice_us = 30000;
/// How often it looks for interrupts of the guest and for answers meanwhile. Emulators serve each
/// look at the local APIC under a lock that their timers need as well.
constexpr std::uint64_t idle_check_us = 200;
/// How often a busy CPU sends while full slots wait.
constexpr std::uint64_t backlog_us = 1000;
/// How often a busy CPU exits only to look whether something has to be sent again.
constexpr std::uint64_t repeat_us = 50000;

} // namespace

std::uint64_t Machine::required_bytes(Config const& config, std::uint32_t cpus, boot::RamExtent ram)
{
    backend::Vendor const* const vendor = backend::find_vendor();
    if (vendor == nullptr)
        return region_bytes(0, cpus, config.buffer_kib);
    paging::TableCapabilities const guest = vendor->table_capabilities(), host = host_capabilities();
    std::uint64_t const monitor =
        config.memory ? monitor_bytes(monitored_pages(guest, host, ram), ram, config.memory_buffer_kib) : 0;
    return region_bytes(table_pages(guest, host), cpus, config.buffer_kib, monitor);
}

boot::StartResult Machine::prepare(boot::BootInfo const& info)
{
    using enum boot::StartResult;
    info_ = &info;
    ConfigError error;
    if (!parse_config({info.config, info.config_bytes}, config_, error))
        return bad_config;
    set_log_level(static_cast<LogLevel>(config_.log_level));
    clock_.configure(info.tsc_hz, Tsc{info.firmware_tsc}, UtcNs{info.firmware_utc_ns});
    set_log_time(&log_time);
    if (config_.log_port != 0)
        (void)set_log_serial(ports_, config_.log_port);
    vendor_ = backend::find_vendor();
    if (vendor_ == nullptr)
        return no_virtualisation;
    boot::StartResult result = vendor_->support();
    name_missing_features();
    if (result != ok)
        return result;
    std::uint64_t cr4;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    if ((cr4 & 1ULL << 12) != 0)
        return unsupported_paging;
    region_ = Region{info.free_start, info.region_start + info.region_bytes};
    if (!memory_.configure(info))
        return too_many_memory_ranges;
    memory_.set_end(first_map_bytes(vendor_->table_capabilities(), host_capabilities()));
    build_host_tables();
    set_nmi_hook(&note_nmi);
    log(LogLevel::info, str("undercroft: "), str(vendor_->name()), str(", "), dec(info.cpus), str(" CPUs, region "),
        hex(info.region_start), str(" + "), hex(info.region_bytes), str(", TSC "), dec(info.tsc_hz / 1000000),
        str(" MHz, "), dec(info.memory_ranges), str(" RAM ranges"));
    if (!build_tables() || !build_intercepts())
        return out_of_memory;
    result = build_devices();
    if (result == ok && !build_cpus())
        result = out_of_memory;
    if (result != ok && devices_ != nullptr)
        devices_->give_up(pci_);
    return result;
}

void Machine::name_missing_features() const
{
    for (backend::MissingFeature const& feature : vendor_->missing())
        log(feature.required ? LogLevel::error : LogLevel::warning, str("this processor has no "), str(feature.name),
            str(": "), str(feature.loss));
}

bool Machine::set_trap(Gpa first, std::uint64_t bytes, Trap trap)
{
    paging::Permissions const rights = trap == Trap::none     ? paging::rights_all
                                       : trap == Trap::writes ? paging::rights_read
                                                              : paging::rights_none;
    // What must not even be read stays closed while an instruction is single-stepped.
    paging::Permissions const open_rights = trap == Trap::everything ? paging::rights_none : paging::rights_all;
    return guest_map_->set_rights(first, bytes, rights, open_rights);
}

void Machine::trap_ports(std::uint16_t first, unsigned count, bool on)
{
    for (unsigned i = 0; i < count; ++i)
        vendor_->intercept_port(static_cast<std::uint16_t>(first + i), on);
}

boot::StartResult Machine::build_devices()
{
    using enum boot::StartResult;
    if (!platform::read_acpi(memory_, Gpa{info_->rsdp}, acpi_))
        log(LogLevel::warning, str("no usable ACPI tables: power-off is not noticed beforehand"));
    power_ = region_.make<platform::PowerWatch>(acpi_.fadt);
    devices_ = region_.make<Devices>(config_, *info_, memory_, counters_, clock_);
    if (power_ == nullptr || devices_ == nullptr)
        return out_of_memory;
    for (platform::PortRange const& ports : power_->ports())
        trap_ports(ports.first, ports.count, true);
    std::uint8_t const last_bus = acpi_.ecam.empty() ? 255 : acpi_.ecam[0].end_bus;
    if (boot::StartResult const result = devices_->build(region_, pci_, last_bus); result != ok)
        return result;
    if (!vendor_->has_timer())
        card_timer_ = devices_->make_timer(pci_, region_);
    pci_guard_ = region_.make<PciGuard>(pci_, *devices_, router_, static_cast<TrapControl&>(*this), counters_);
    memory_watch_.build(region_, {.config = &config_,
                                  .vendor = vendor_,
                                  .memory = &memory_,
                                  .clock = &devices_->clock(),
                                  .counters = &counters_,
                                  .buffer = devices_->memory_buffer(),
                                  .view_switch = this,
                                  .cpus = this,
                                  .device_writes = this,
                                  .devices = devices_,
                                  .cpu_count = info_->cpus,
                                  .key = info_->random_seed ^ 4});
    if (memory::DeviceWrites* const writes = memory_watch_.device_writes(); writes != nullptr) {
        memory_.set_device_writes(*writes);
        devices_->set_device_writes(*writes);
    }
    if (pci_guard_ == nullptr)
        return out_of_memory;
    control_ = region_.make<ControlBridge>(config_, *info_, *devices_, *pci_guard_, memory_watch_, counters_);
    if (control_ == nullptr || !hide_card_registers() || !pci_guard_->start(acpi_))
        return out_of_memory;
    return ok;
}

bool Machine::hide_card_registers()
{
    for (platform::Bar const& window : devices_->card().windows()) {
        std::uint64_t const first = window.base & ~(page_bytes - 1);
        std::uint64_t const end = (window.base + window.size + page_bytes - 1) & ~(page_bytes - 1);
        if (!guest_map_->unmap(Gpa{first}, end - first))
            return false;
        // The guest may set the MTRRs as it likes: its choice must not make the card's registers cacheable for the
        // sensor.
        if (!host_->map_identity({Gpa{first}, end - first}, paging::rights_all, paging::MemoryType::uncacheable))
            return false;
    }
    return true;
}

bool Machine::build_tables()
{
    paging::TableCapabilities const guest = vendor_->table_capabilities();
    std::size_t const page_count = table_pages(guest, host_capabilities());
    void* const pages = region_.allocate(page_count * page_bytes, page_bytes);
    if (pages == nullptr)
        return false;
    pool_ = paging::PagePool{pages, page_count};
    TlbShootdown& shootdown = *this;
    host_ = region_.make<HostTable>(pool_, shootdown, host_capabilities());
    if (host_ == nullptr || !host_->create() ||
        !host_->map_identity({Gpa{0}, first_map_bytes(guest, host_capabilities())}, paging::rights_all,
                             paging::MemoryType::write_back))
        return false;
    guest_map_ = vendor_->make_guest_map(region_, pool_, shootdown, first_map_bytes(guest, host_capabilities()));
    if (guest_map_ == nullptr)
        return false;
    if (config_.memory &&
        !memory_watch_.set_aside(region_, *vendor_, *guest_map_, view_shootdown_, memory_, host_capabilities()))
        log(LogLevel::warning, str("no memory monitor: its tables do not fit into what was set aside"));
    log(LogLevel::info, str("nested tables: running "), hex(guest_map_->running_root()), str(", stepping "),
        hex(guest_map_->stepping_root()), str(guest_map_->monitored() != nullptr ? ", monitored " : ""),
        guest_map_->monitored() != nullptr ? hex(guest_map_->monitored()->root()) : str(""));
    return guest_map_->unmap(Gpa{info_->region_start}, info_->region_bytes);
}

bool Machine::build_intercepts()
{
    if (!vendor_->build({.region = &region_, .counters = &counters_, .memory = &memory_, .host_root = host_->root()}))
        return false;
    constexpr std::uint32_t has_tsc_adjust = 1U << 1;
    if (cpuid(0).eax >= 7 && (cpuid(7).ebx & has_tsc_adjust) != 0)
        vendor_->intercept_msr(msr::tsc_adjust, true, true);
    vendor_->intercept_msr(msr::apic_base, false, true);
    vendor_->intercept_msr(msr::tsc, false, true);
    if (info_->route == boot::BootRoute::bios) // a sign of the system's start; afterwards it is hardly ever written
        vendor_->intercept_msr(msr::efer, true, true);
    return info_->cpus == 1 || watch_startup();
}

bool Machine::watch_startup()
{
    startup_watch_.set_page(local_apic_page());
    vendor_->intercept_msr(msr::x2apic_icr, false, true);
    vendor_->intercept_msr(msr::x2apic_eoi, false, true);
    if (startup_watch_.page() == 0)
        return true; // x2APIC from the start
    trap_ports(platform::ShutdownCode::ports.first, platform::ShutdownCode::ports.count, true);
    return router_.add({Gpa{startup_watch_.page()}, page_bytes, &startup_watch_, true}) && allow_apic_writes(false);
}

bool Machine::allow_apic_writes(bool allow)
{
    paging::Permissions const rights = allow ? paging::rights_all : paging::rights_read;
    return guest_map_->set_rights(Gpa{startup_watch_.page()}, page_bytes, rights, rights);
}

void Machine::resume_startup_watch()
{
    if (cpu_count_ < 2 || startup_watch_.page() == 0) // x2APIC: the ICR alone in its MSR is always watched
        return;
    SpinGuard const guard{startup_lock_};
    if (watching_startup_)
        return;
    if (!allow_apic_writes(false)) {
        log(LogLevel::error, str("a CPU is started and the local APIC cannot be watched: no room for its table"));
        return;
    }
    watching_startup_ = true;
    log(LogLevel::info, str("a CPU is about to be started: the local APIC is watched again"));
}

void Machine::stop_startup_watch()
{
    SpinGuard const guard{startup_lock_};
    if (!watching_startup_)
        return;
    watching_startup_ = false;
    // The x2APIC's command register stays watched: alone in its MSR it costs interrupts and EOIs nothing.
    vendor_->intercept_msr(msr::x2apic_eoi, false, false);
    if (startup_watch_.page() != 0)
        (void)allow_apic_writes(true);
    log(LogLevel::info, str("all CPUs run the operating system: the local APIC is no longer watched"));
}

bool Machine::build_cpus()
{
    cpu_count_ = info_->cpus;
    // One block, so that a CPU finds itself by its stack pointer.
    auto* const stacks = static_cast<std::byte*>(region_.allocate(cpu_count_ * stack_bytes, page_bytes));
    if (stacks == nullptr)
        return false;
    DeliveryTiming const timing{.send_delay_ticks = config_.send_delay_ms * (info_->tsc_hz / 1000),
                                .backlog_ticks = backlog_us * (info_->tsc_hz / 1000000),
                                .repeat_ticks = repeat_us * (info_->tsc_hz / 1000000),
                                .keep_alive_ticks = info_->tsc_hz,
                                .idle_check_ticks = idle_check_us * (info_->tsc_hz / 1000000),
                                .idle_slice_ticks = idle_slice_us * (info_->tsc_hz / 1000000)};
    for (std::uint32_t i = 0; i < cpu_count_; ++i) {
        auto* const cpu = region_.make<PerCpu>();
        if (cpu == nullptr)
            return false;
        cpu->index = i;
        cpu->stack_top = reinterpret_cast<std::uint64_t>(stacks + (i + 1) * stack_bytes);
        cpu->driver = vendor_->make_cpu(region_, {.index = static_cast<std::uint16_t>(i),
                                                  .mailbox = &cpu->mailbox,
                                                  .services = this,
                                                  .work = devices_,
                                                  .host = this,
                                                  .timing = timing});
        if (cpu->driver == nullptr)
            return false;
        cpus_[i] = cpu;
    }
    return true;
}

} // namespace undercroft::core
