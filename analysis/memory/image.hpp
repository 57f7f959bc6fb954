// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory as it was in a sweep: which block of the store each page holds.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "analysis/memory/sweeps.hpp"
#include "analysis/read/content.hpp"

namespace undercroft::analysis {

/// Eight bytes for each page of RAM: 2 MiB of this process for each GiB of the guest.
class MemoryImage {
public:
    /// Reads the pages of the chain's sweeps, later ones on top of earlier ones. `content` must outlive this object.
    MemoryImage(Boot const& boot, Sweeps const& sweeps, SweepChain chain, ContentStore const& content);

    [[nodiscard]] RamMap const& ram() const { return ram_; }
    /// Ranges whose pages no record of the chain holds, or whose content the store lacks.
    [[nodiscard]] std::vector<AddressRange> missing() const;
    [[nodiscard]] std::uint64_t missing_pages() const;
    /// Pages recorded outside of RAM, which the image leaves out.
    [[nodiscard]] std::uint64_t pages_outside() const { return outside_; }

    /// Hands out the bytes of [first, end) in order, whole pages at a time, in pieces of at most 32 MiB; missing pages
    /// as zeros. The range must lie within one region.
    void read(AddressRange range, std::function<void(std::span<char const>)> const& visit) const;

private:
    void take(RecordRow const& row);

    ContentStore const& content_;
    RamMap ram_;
    std::vector<Hash const*> pages_; ///< null: missing; zero_page(): all zeros
    std::uint64_t outside_{};
};

} // namespace undercroft::analysis
