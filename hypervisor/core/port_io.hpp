// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "hypervisor/core/x86.hpp"

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
    std::uint32_t load(std::uint16_t port, unsigned width) override { return in_port(port, width); }
    void store(std::uint16_t port, unsigned width, std::uint32_t value) override { out_port(port, width, value); }
};

} // namespace undercroft::core
