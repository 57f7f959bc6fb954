// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstring>
#include <vector>

#include "hypervisor/core/guest_memory.hpp"

namespace undercroft::paging::testing {

/// Guest RAM [base, base + bytes); counts looks at it so that a test can bound them.
class Ram final : public core::GuestMemory {
public:
    explicit Ram(std::size_t bytes, std::uint64_t base = 0) : bytes_(bytes), base_{base} {}

    bool read(Gpa from, std::span<std::byte> into) const override
    {
        auto const* at = view(from, into.size());
        if (at == nullptr)
            return false;
        std::memcpy(into.data(), at, into.size());
        return true;
    }
    bool write(Gpa to, std::span<std::byte const> from) override
    {
        if (view(to, from.size()) == nullptr)
            return false;
        std::memcpy(&bytes_[to.value - base_], from.data(), from.size());
        return true;
    }
    std::byte const* view(Gpa at, std::size_t bytes) const override
    {
        ++reads;
        if (at.value < base_ || at.value - base_ > bytes_.size() || bytes > bytes_.size() - (at.value - base_))
            return nullptr;
        return bytes_.data() + (at.value - base_);
    }
    bool touches_sensor(Gpa, std::uint64_t) const override { return false; }

    template <typename T>
    void put(std::uint64_t gpa, T value)
    {
        ASSERT_TRUE(write(Gpa{gpa}, std::as_bytes(std::span{&value, 1})));
    }
    mutable unsigned reads = 0;

private:
    std::vector<std::byte> bytes_;
    std::uint64_t base_;
};

} // namespace undercroft::paging::testing
