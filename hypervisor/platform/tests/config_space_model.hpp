// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A PCI bus of tests: functions with writable-bit masks, reached as hardware reaches them: through ports CF8h/CFCh
// or through ECAM, routed by the bridges' current bus numbers.
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/port_io.hpp"

namespace undercroft::platform {

struct ModelFunction {
    std::array<std::uint8_t, 4096> bytes{};
    std::array<std::uint8_t, 4096> writable{};
    /// Behind this function's secondary bus, by device << 3 | function.
    std::map<unsigned, std::unique_ptr<ModelFunction>> children;
    unsigned writes = 0;

    void set(unsigned offset, unsigned width, std::uint64_t value, std::uint64_t mask = 0)
    {
        for (unsigned i = 0; i < width; ++i) {
            bytes[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
            writable[offset + i] = static_cast<std::uint8_t>(mask >> (8 * i));
        }
    }
    [[nodiscard]] std::uint32_t get(unsigned offset, unsigned width) const
    {
        std::uint32_t value = 0;
        for (unsigned i = 0; i < width; ++i)
            value |= std::uint32_t{bytes[offset + i]} << (8 * i);
        return value;
    }
    void write(unsigned offset, unsigned width, std::uint32_t value)
    {
        ++writes;
        for (unsigned i = 0; i < width; ++i) {
            auto const mask = writable[offset + i];
            auto const byte = static_cast<std::uint8_t>(value >> (8 * i));
            bytes[offset + i] = static_cast<std::uint8_t>((bytes[offset + i] & ~mask) | (byte & mask));
        }
    }
    void identity(std::uint16_t vendor, std::uint16_t device, std::uint32_t class_code, std::uint8_t header = 0)
    {
        set(0x00, 2, vendor);
        set(0x02, 2, device);
        set(0x04, 2, 0, 0x0547);
        set(0x09, 3, class_code);
        set(0x0e, 1, header);
    }
    void bar32(unsigned index, std::uint32_t base, std::uint32_t size) { set(0x10 + 4 * index, 4, base, ~(size - 1)); }
    void bar64(unsigned index, std::uint64_t base, std::uint64_t size)
    {
        set(0x10 + 4 * index, 8, base | 4, ~(size - 1));
    }
    void io_bar(unsigned index, std::uint16_t base, std::uint16_t size)
    {
        set(0x10 + 4 * index, 4, base | 1U, 0xffffU & ~(size - 1U));
    }
    void bridge(std::uint8_t secondary, std::uint8_t subordinate)
    {
        identity(0x8086, 0x3420, 0x060400, 1);
        set(0x18, 3, static_cast<std::uint32_t>(subordinate << 16 | secondary << 8), 0xffffff);
        set(0x20, 4, 0, 0xfff0fff0);
        set(0x24, 4, 0x00010001, 0xfff0fff0);
        set(0x28, 8, 0, ~std::uint64_t{0});
        set(0x3e, 2, 0, 0x0fff);
    }
};

class ConfigSpaceModel final : public core::PortIo, public core::MmioBus {
public:
    std::map<unsigned, std::unique_ptr<ModelFunction>> root;
    std::uint32_t address = 0;
    std::vector<std::uint32_t> byte_writes_below_data; ///< port << 8 | value of sub-dword accesses to CF8 ... CFB

    ModelFunction& add(unsigned device, unsigned function = 0) { return add_to(root, device, function); }
    static ModelFunction& add_behind(ModelFunction& bridge, unsigned device, unsigned function = 0)
    {
        return add_to(bridge.children, device, function);
    }
    ModelFunction* find(unsigned bus, unsigned devfn) { return find_in(root, 0, bus, devfn); }

    std::uint32_t load(std::uint16_t port, unsigned width) override
    {
        if (port == 0xcf8 && width == 4)
            return address;
        if (port < 0xcfc)
            return 0x11111111U & (width == 4 ? ~0U : (1U << (8 * width)) - 1);
        ModelFunction* const f = (address >> 31) != 0 ? find(address >> 16 & 0xff, address >> 8 & 0xff) : nullptr;
        std::uint32_t const all = width == 4 ? ~0U : (1U << (8 * width)) - 1;
        return f == nullptr ? all : f->get((address & 0xfc) + (port & 3U), width);
    }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        if (port == 0xcf8 && width == 4)
            address = value & 0x80fffffc;
        else if (port < 0xcfc)
            byte_writes_below_data.push_back(static_cast<std::uint32_t>(port) << 8 | (value & 0xff));
        else if (ModelFunction* const f =
                     (address >> 31) != 0 ? find(address >> 16 & 0xff, address >> 8 & 0xff) : nullptr)
            f->write((address & 0xfc) + (port & 3U), width, value);
    }
    std::uint64_t load(std::uint64_t offset, unsigned width) override
    {
        ModelFunction* const f = find(static_cast<unsigned>(offset >> 20), offset >> 12 & 0xff);
        return f == nullptr ? (width == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * width)) - 1)
                            : f->get(offset & 0xfff, width);
    }
    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        if (ModelFunction* const f = find(static_cast<unsigned>(offset >> 20), offset >> 12 & 0xff))
            f->write(offset & 0xfff, width, static_cast<std::uint32_t>(value));
    }

private:
    using Functions = std::map<unsigned, std::unique_ptr<ModelFunction>>;
    static ModelFunction& add_to(Functions& bus, unsigned device, unsigned function)
    {
        auto& slot = bus[device << 3 | function];
        slot = std::make_unique<ModelFunction>();
        return *slot;
    }
    static ModelFunction* find_in(Functions& functions, unsigned bus, unsigned wanted, unsigned devfn)
    {
        if (bus == wanted) {
            auto const found = functions.find(devfn);
            return found == functions.end() ? nullptr : found->second.get();
        }
        for (auto& [id, function] : functions) {
            unsigned const secondary = function->bytes[0x19], subordinate = function->bytes[0x1a];
            if ((function->bytes[0x0e] & 0x7f) == 1 && secondary > bus && wanted >= secondary && wanted <= subordinate)
                return find_in(function->children, secondary, wanted, devfn);
        }
        return nullptr;
    }
};

} // namespace undercroft::platform
