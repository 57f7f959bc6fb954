// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Guest RAM of tests: a few pieces at given addresses, nothing between them.
#include <cstring>
#include <map>
#include <vector>

#include "hypervisor/core/guest_memory.hpp"

namespace undercroft::platform {

class SparseMemory final : public core::GuestMemory {
public:
    std::map<std::uint64_t, std::vector<std::uint8_t>> pieces;

    bool read(Gpa from, std::span<std::byte> into) const override
    {
        std::byte const* const at = view(from, into.size());
        if (at != nullptr && !into.empty())
            std::memcpy(into.data(), at, into.size());
        return at != nullptr;
    }
    bool write(Gpa, std::span<std::byte const>) override { return false; }
    std::byte const* view(Gpa at, std::size_t bytes) const override
    {
        auto piece = pieces.upper_bound(at.value);
        if (piece == pieces.begin())
            return nullptr;
        --piece;
        std::uint64_t const offset = at.value - piece->first;
        if (offset > piece->second.size() || bytes > piece->second.size() - offset)
            return nullptr;
        return reinterpret_cast<std::byte const*>(piece->second.data() + offset);
    }
    bool touches_sensor(Gpa, std::uint64_t) const override { return false; }
};

} // namespace undercroft::platform
