// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// PCI configuration space: access, enumeration, BARs. Register offsets: PCI Local Bus 3.0, chapter 6;
// bridges: PCI-to-PCI Bridge Architecture 1.2, chapter 3.
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/port_io.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/platform/acpi.hpp"
#include "hypervisor/platform/fixed_list.hpp"

namespace undercroft::platform {

/// A function's address. Segments other than 0 are reachable through ECAM only.
struct Bdf {
    std::uint8_t bus = 0, device = 0, function = 0;
    std::uint16_t segment = 0;
    constexpr auto operator<=>(Bdf const&) const = default;
};

/// BB:DD.F in hexadecimal, as lspci has it, in `text`.
using BdfText = char[12];
std::string_view name_of(Bdf bdf, BdfText& text);

/// Offsets of configuration registers.
namespace pci_reg {
inline constexpr std::uint16_t vendor_id = 0x00, device_id = 0x02, command = 0x04, status = 0x06, revision_class = 0x08,
                               header_type = 0x0e, bar0 = 0x10, capabilities = 0x34, primary_bus = 0x18,
                               secondary_bus = 0x19, subordinate_bus = 0x1a, memory_window = 0x20,
                               prefetchable_window = 0x24, prefetchable_base_upper = 0x28,
                               prefetchable_limit_upper = 0x2c, bridge_control = 0x3e;
} // namespace pci_reg

namespace pci_command {
inline constexpr std::uint16_t io = 1U << 0, memory = 1U << 1, bus_master = 1U << 2;
}

/// Raw configuration access. width is 1, 2 or 4 and the access stays inside one dword. Absent functions read as
/// all ones. Safe on any CPU.
class PciConfig {
public:
    [[nodiscard]] virtual std::uint32_t read(Bdf function, std::uint16_t offset, unsigned width) = 0;
    virtual void write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value) = 0;

protected:
    ~PciConfig() = default;
};

inline constexpr std::uint16_t pci_address_port = 0xcf8, pci_data_port = 0xcfc;

/// Mechanism #1: ports CF8h and CFCh; segment 0, offsets below 256. The lock is shared by everybody
/// who touches these ports (PciMediator too).
class PortPciConfig final : public PciConfig {
public:
    explicit PortPciConfig(core::PortIo& ports) : ports_{&ports} {}
    std::uint32_t read(Bdf function, std::uint16_t offset, unsigned width) override;
    void write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value) override;

    /// One access to CFCh ... CFFh with CF8h = \p address.
    [[nodiscard]] std::uint32_t raw_read(std::uint32_t address, unsigned byte, unsigned width);
    void raw_write(std::uint32_t address, unsigned byte, unsigned width, std::uint32_t value);
    /// What CF8h reads as after \p address was written to it.
    [[nodiscard]] std::uint32_t latch(std::uint32_t address);
    /// What CF8h holds now.
    [[nodiscard]] std::uint32_t latched();
    /// Any other access to CF8h ... CFBh.
    [[nodiscard]] std::uint32_t port_read(std::uint16_t port, unsigned width);
    void port_write(std::uint16_t port, unsigned width, std::uint32_t value);

private:
    core::PortIo* ports_;
    core::Spinlock lock_;
};

/// One segment's memory-mapped configuration space. `bus` gives access from segment.base on
/// (offset 0 = bus 0). On AMD processors accesses must go through EAX: the MmioBus does that.
class EcamPciConfig final : public PciConfig {
public:
    EcamPciConfig(core::MmioBus& bus, EcamSegment const& segment) : bus_{&bus}, segment_{segment} {}
    std::uint32_t read(Bdf function, std::uint16_t offset, unsigned width) override;
    void write(Bdf function, std::uint16_t offset, unsigned width, std::uint32_t value) override;
    [[nodiscard]] EcamSegment const& segment() const { return segment_; }

private:
    [[nodiscard]] bool covers(Bdf function, std::uint16_t offset, unsigned width) const;
    core::MmioBus* bus_;
    EcamSegment segment_;
};

/// Offset of a function's 4 KiB page from the segment's base.
[[nodiscard]] constexpr std::uint64_t ecam_offset(Bdf function)
{
    return std::uint64_t{function.bus} << 20 | std::uint64_t{function.device} << 15 |
           std::uint64_t{function.function} << 12;
}

struct PciFunction {
    Bdf bdf;
    std::uint16_t vendor = 0xffff, device = 0xffff;
    std::uint32_t class_code = 0;                        ///< class << 16 | subclass << 8 | interface
    std::uint8_t header_type = 0;                        ///< without the multi-function bit
    std::uint8_t secondary_bus = 0, subordinate_bus = 0; ///< bridges only

    [[nodiscard]] bool is_bridge() const { return header_type == 1; }
};

inline constexpr std::uint32_t class_ahci = 0x010601, class_ethernet = 0x020000;
/// Any programming interface.
[[nodiscard]] constexpr bool is_ide(std::uint32_t class_code)
{
    return class_code >> 8 == 0x0101;
}

/// Reads one function's identity; nothing when it is absent.
[[nodiscard]] std::optional<PciFunction> identify(PciConfig& config, Bdf bdf);

/// Calls visit(PciFunction const&) for every function on buses first ... last, in ascending order. All buses are
/// looked at, so that those behind several host bridges are found without ACPI's help.
template <typename Visit>
void for_each_function(PciConfig& config, std::uint16_t segment, std::uint8_t first, std::uint8_t last, Visit visit)
{
    for (unsigned bus = first; bus <= last; ++bus) {
        for (std::uint8_t device = 0; device < 32; ++device) {
            Bdf bdf{static_cast<std::uint8_t>(bus), device, 0, segment};
            auto const function0 = identify(config, bdf);
            if (!function0)
                continue;
            visit(*function0);
            if ((config.read(bdf, pci_reg::header_type, 1) & 0x80) == 0)
                continue;
            for (bdf.function = 1; bdf.function < 8; ++bdf.function)
                if (auto const other = identify(config, bdf))
                    visit(*other);
        }
    }
}

inline constexpr std::size_t max_storage_functions = 16;
inline constexpr std::size_t max_ethernet_functions = 16;

using EthernetFunctions = FixedList<PciFunction, max_ethernet_functions>;

/// What the sensor looks for.
struct PciFindings {
    FixedList<PciFunction, max_storage_functions> ahci;
    FixedList<PciFunction, max_storage_functions> ide;
    EthernetFunctions ethernet;
    unsigned functions = 0;
};
[[nodiscard]] PciFindings find_devices(PciConfig& config, std::uint16_t segment, std::uint8_t first_bus,
                                       std::uint8_t last_bus);

/// Bridges from the root bus down to \p function, outermost first.
inline constexpr std::size_t max_bridge_depth = 8;
using BridgePath = FixedList<Bdf, max_bridge_depth>;
[[nodiscard]] BridgePath bridges_above(PciConfig& config, Bdf function);

struct Bar {
    enum class Kind : std::uint8_t { none, memory32, memory64, io };
    Kind kind = Kind::none;
    std::uint8_t index = 0;
    std::uint64_t base = 0;
    std::uint64_t size = 0; ///< 0 until sized

    /// BAR registers it takes.
    [[nodiscard]] unsigned slots() const { return kind == Kind::memory64 ? 2 : 1; }
};
[[nodiscard]] constexpr std::uint16_t bar_offset(unsigned index)
{
    return static_cast<std::uint16_t>(pci_reg::bar0 + 4 * index);
}
inline constexpr unsigned max_bars = 6;

/// The BAR as it stands, without writing to the device; size stays 0.
[[nodiscard]] Bar read_bar(PciConfig& config, Bdf function, unsigned index);
/// The same with its size. Decoding is off meanwhile: nobody may use the device.
[[nodiscard]] Bar size_bar(PciConfig& config, Bdf function, unsigned index);

/// Calls visit(id, offset) for each capability (list at 34h) until it returns false. Bounded, whatever the list looks
/// like; offset is at most FCh.
template <typename Visit>
void for_each_capability(PciConfig& config, Bdf function, Visit visit)
{
    constexpr std::uint16_t has_list = 1U << 4;
    if ((config.read(function, pci_reg::status, 2) & has_list) == 0)
        return;
    auto at = static_cast<std::uint8_t>(config.read(function, pci_reg::capabilities, 1) & 0xfc);
    for (unsigned i = 0; i < 48 && at >= 0x40; ++i) {
        if (!visit(static_cast<std::uint8_t>(config.read(function, at, 1)), at))
            return;
        at = static_cast<std::uint8_t>(config.read(function, static_cast<std::uint16_t>(at + 1), 1) & 0xfc);
    }
}

/// Offset of the first capability of that kind, or 0.
[[nodiscard]] std::uint8_t find_capability(PciConfig& config, Bdf function, std::uint8_t id);

} // namespace undercroft::platform
