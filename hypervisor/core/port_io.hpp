// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::core {

/// x86 I/O ports; in tests a model. width is 1, 2 or 4 bytes; values are zero-extended.
class PortIo {
public:
    [[nodiscard]] virtual std::uint32_t load(std::uint16_t port, unsigned width) = 0;
    virtual void store(std::uint16_t port, unsigned width, std::uint32_t value) = 0;

protected:
    ~PortIo() = default;
};

/// The processor's own ports.
class HardwarePortIo final : public PortIo {
public:
    std::uint32_t load(std::uint16_t port, unsigned width) override
    {
        std::uint32_t value = 0;
        if (width == 1)
            asm volatile("inb %1, %b0" : "+a"(value) : "Nd"(port));
        else if (width == 2)
            asm volatile("inw %1, %w0" : "+a"(value) : "Nd"(port));
        else
            asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
        return value;
    }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override
    {
        if (width == 1)
            asm volatile("outb %b0, %1" : : "a"(value), "Nd"(port));
        else if (width == 2)
            asm volatile("outw %w0, %1" : : "a"(value), "Nd"(port));
        else
            asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
    }
};

} // namespace undercroft::core
