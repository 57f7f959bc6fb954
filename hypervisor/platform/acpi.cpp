// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/acpi.hpp"

#include "base/le.hpp"
#include "hypervisor/core/log.hpp"

namespace undercroft::platform {
namespace {

using core::GuestMemory;
using core::LogLevel;

// ACPI 6.4, 5.2.5.3
struct Rsdp {
    char signature[8];
    std::uint8_t checksum;
    char oem_id[6];
    std::uint8_t revision;
    Le<std::uint32_t> rsdt;
    Le<std::uint32_t> length; ///< from here on only with revision >= 2
    Le<std::uint64_t> xsdt;
    std::uint8_t extended_checksum;
    std::uint8_t reserved[3];
};
static_assert(offsetof(Rsdp, rsdt) == 16 && offsetof(Rsdp, xsdt) == 24 && sizeof(Rsdp) == 36);
constexpr std::size_t rsdp_v1_bytes = 20;

// ACPI 6.4, 5.2.6
struct Header {
    char signature[4];
    Le<std::uint32_t> length;
    std::uint8_t revision;
    std::uint8_t checksum;
    char oem[26];
};
static_assert(offsetof(Header, length) == 4 && sizeof(Header) == 36);

/// DSDTs of real machines reach some hundred KiB; the tables read here are far smaller.
constexpr std::uint32_t max_table_bytes = 1U << 20;
constexpr std::uint32_t max_root_entries = 256;

template <typename T>
bool read_value(GuestMemory const& memory, Gpa at, T& into)
{
    return memory.read(at, std::as_writable_bytes(std::span{&into, 1}));
}

bool sums_to_zero(GuestMemory const& memory, Gpa at, std::uint32_t bytes)
{
    std::uint8_t sum = 0;
    std::byte piece[256];
    for (std::uint32_t done = 0; done < bytes; done += sizeof(piece)) {
        std::span const part = std::span{piece}.first(bytes - done < sizeof(piece) ? bytes - done : sizeof(piece));
        if (!memory.read(at + done, part))
            return false;
        for (std::byte const b : part)
            sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(b));
    }
    return sum == 0;
}

/// One checked table. Reads past its end fail.
class Table {
public:
    [[nodiscard]] static std::optional<Table> open(GuestMemory const& memory, Gpa at)
    {
        Header header;
        if (at.value == 0 || !read_value(memory, at, header))
            return {};
        std::uint32_t const length = header.length.get();
        if (length < sizeof(Header) || length > max_table_bytes || !sums_to_zero(memory, at, length))
            return {};
        return Table{memory, at, header, length};
    }
    [[nodiscard]] bool is(char const (&signature)[5]) const
    {
        return __builtin_memcmp(header_.signature, signature, 4) == 0;
    }
    [[nodiscard]] std::uint32_t length() const { return length_; }

    template <typename T>
    bool read(std::uint32_t offset, T& into) const
    {
        return offset <= length_ && sizeof(T) <= length_ - offset && read_value(*memory_, at_ + offset, into);
    }
    /// 0 when the table ends before it.
    template <typename T>
    [[nodiscard]] T field(std::uint32_t offset) const
    {
        Le<T> value;
        return read(offset, value) ? value.get() : T{};
    }

private:
    Table(GuestMemory const& memory, Gpa at, Header const& header, std::uint32_t length)
        : memory_{&memory}, at_{at}, header_{header}, length_{length}
    {
    }
    GuestMemory const* memory_;
    Gpa at_;
    Header header_;
    std::uint32_t length_;
};

/// MADT, ACPI 6.4, 5.2.12.
void read_madt(Table const& table, AcpiTables& tables)
{
    constexpr std::uint32_t first_entry = 44;
    constexpr std::uint8_t local_apic = 0, local_apic_address_override = 5, local_x2apic = 9;
    tables.local_apic_base = table.field<std::uint32_t>(36);
    struct {
        std::uint8_t type, length;
    } entry;
    for (std::uint32_t at = first_entry; table.read(at, entry) && entry.length >= sizeof(entry); at += entry.length) {
        auto const add = [&](std::uint32_t apic_id, std::uint32_t flags) {
            tables.cpus.push({apic_id, (flags & 1) != 0, (flags & 2) != 0});
        };
        if (entry.type == local_apic && entry.length >= 8)
            add(table.field<std::uint8_t>(at + 3), table.field<std::uint32_t>(at + 4));
        else if (entry.type == local_x2apic && entry.length >= 16)
            add(table.field<std::uint32_t>(at + 4), table.field<std::uint32_t>(at + 8));
        else if (entry.type == local_apic_address_override && entry.length >= 12)
            tables.local_apic_base = table.field<std::uint64_t>(at + 4);
    }
    if (tables.cpus.omitted() != 0)
        core::log(LogLevel::warning, core::str("ACPI MADT: no room for "), core::dec(tables.cpus.omitted()),
                  core::str(" CPUs"));
}

/// MCFG, PCI Firmware 3.2, 4.1.2.
void read_mcfg(Table const& table, AcpiTables& tables)
{
    constexpr std::uint32_t first_entry = 44, entry_bytes = 16;
    for (std::uint32_t at = first_entry; at + entry_bytes <= table.length(); at += entry_bytes) {
        EcamSegment const segment{table.field<std::uint64_t>(at), table.field<std::uint16_t>(at + 8),
                                  table.field<std::uint8_t>(at + 10), table.field<std::uint8_t>(at + 11)};
        std::uint64_t const bytes = (std::uint64_t{segment.end_bus} + 1) << 20;
        if (segment.base == 0 || segment.base % page_bytes != 0 || segment.base + bytes < segment.base ||
            segment.start_bus > segment.end_bus) {
            ++tables.bad_tables;
            core::log(LogLevel::warning, core::str("ACPI MCFG: entry skipped, base "), core::hex(segment.base));
            continue;
        }
        tables.ecam.push(segment);
    }
}

AcpiAddress read_address(Table const& table, std::uint32_t offset)
{
    return {static_cast<AcpiAddress::Space>(table.field<std::uint8_t>(offset)), table.field<std::uint64_t>(offset + 4)};
}

/// The 64-bit register when given, else the 32-bit port of ACPI 1.0.
AcpiAddress register_of(Table const& table, std::uint32_t extended, std::uint32_t legacy)
{
    AcpiAddress const address = read_address(table, extended);
    if (address.address != 0)
        return address;
    return {AcpiAddress::Space::io, table.field<std::uint32_t>(legacy)};
}

/// FADT, ACPI 6.4, 5.2.9.
void read_fadt(Table const& table, AcpiTables& tables)
{
    constexpr std::uint32_t pm1a_cnt_blk = 64, pm1b_cnt_blk = 68, pm_tmr_blk = 76, flags = 112, reset_reg = 116,
                            reset_value = 128, x_pm1a_cnt_blk = 172, x_pm1b_cnt_blk = 184, x_pm_tmr_blk = 208,
                            sleep_control_reg = 244;
    constexpr std::uint32_t reset_reg_sup = 1U << 10;
    Fadt fadt;
    fadt.pm1a_control = register_of(table, x_pm1a_cnt_blk, pm1a_cnt_blk);
    fadt.pm1b_control = register_of(table, x_pm1b_cnt_blk, pm1b_cnt_blk);
    fadt.pm_timer = register_of(table, x_pm_tmr_blk, pm_tmr_blk);
    fadt.sleep_control = read_address(table, sleep_control_reg);
    if ((table.field<std::uint32_t>(flags) & reset_reg_sup) != 0) {
        fadt.reset = read_address(table, reset_reg);
        fadt.reset_value = table.field<std::uint8_t>(reset_value);
    }
    tables.fadt = fadt;
}

void read_table(GuestMemory const& memory, Gpa at, AcpiTables& tables)
{
    auto const table = Table::open(memory, at);
    if (!table) {
        ++tables.bad_tables;
        core::log(LogLevel::warning, core::str("ACPI: unreadable table at "), core::hex(at.value));
        return;
    }
    if (table->is("APIC") && tables.local_apic_base == 0)
        read_madt(*table, tables);
    else if (table->is("MCFG") && tables.ecam.empty())
        read_mcfg(*table, tables);
    else if (table->is("FACP") && !tables.fadt)
        read_fadt(*table, tables);
}

/// Walks an XSDT (8-byte entries, often not aligned) or RSDT (4-byte entries).
template <typename Entry>
bool read_root(GuestMemory const& memory, Gpa at, char const (&signature)[5], AcpiTables& tables)
{
    auto const root = Table::open(memory, at);
    if (!root || !root->is(signature))
        return false;
    std::uint32_t const entries = static_cast<std::uint32_t>((root->length() - sizeof(Header)) / sizeof(Entry));
    for (std::uint32_t i = 0; i < entries && i < max_root_entries; ++i) {
        std::uint64_t const table = root->field<Entry>(static_cast<std::uint32_t>(sizeof(Header) + i * sizeof(Entry)));
        if (table != 0)
            read_table(memory, Gpa{table}, tables);
    }
    if (entries > max_root_entries)
        core::log(LogLevel::warning, core::str("ACPI: too many tables: "), core::dec(entries));
    return true;
}

} // namespace

unsigned AcpiTables::enabled_cpus() const
{
    unsigned count = 0;
    for (MadtCpu const& cpu : cpus)
        count += cpu.enabled ? 1 : 0;
    return count;
}

bool read_acpi(GuestMemory const& memory, Gpa rsdp_at, AcpiTables& tables)
{
    Rsdp rsdp{};
    std::span const bytes = std::as_writable_bytes(std::span{&rsdp, 1});
    if (!memory.read(rsdp_at, bytes.first(rsdp_v1_bytes)) || __builtin_memcmp(rsdp.signature, "RSD PTR ", 8) != 0 ||
        !sums_to_zero(memory, rsdp_at, rsdp_v1_bytes)) {
        core::log(LogLevel::warning, core::str("ACPI: no RSDP at "), core::hex(rsdp_at.value));
        return false;
    }
    bool const extended = rsdp.revision >= 2 && memory.read(rsdp_at, bytes) && rsdp.length.get() >= sizeof(Rsdp) &&
                          rsdp.length.get() <= page_bytes && sums_to_zero(memory, rsdp_at, rsdp.length.get());
    if (extended && rsdp.xsdt.get() != 0 && read_root<std::uint64_t>(memory, Gpa{rsdp.xsdt.get()}, "XSDT", tables))
        return true;
    if (rsdp.rsdt.get() != 0 && read_root<std::uint32_t>(memory, Gpa{rsdp.rsdt.get()}, "RSDT", tables))
        return true;
    core::log(LogLevel::warning, core::str("ACPI: neither XSDT nor RSDT is usable"));
    return false;
}

} // namespace undercroft::platform
