// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "hypervisor/core/mmio.hpp"
#include "hypervisor/core/x86.hpp"

namespace undercroft::core {

/// Physical memory or registers at a fixed address, as a bus.
class PhysicalBus final : public MmioBus {
public:
    constexpr PhysicalBus() = default;
    explicit constexpr PhysicalBus(std::uint64_t base) : base_{base} {}
    void set_base(std::uint64_t base) { base_ = base; }
    [[nodiscard]] std::uint64_t base() const { return base_; }
    [[nodiscard]] std::uint64_t load(std::uint64_t offset, unsigned width) override
    {
        return load_physical(base_ + offset, width);
    }
    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        store_physical(base_ + offset, width, value);
    }

private:
    std::uint64_t base_ = 0;
};

} // namespace undercroft::core
