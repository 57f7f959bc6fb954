// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Guest-virtual to guest-physical by the guest's own tables (Intel SDM vol. 3A, chapter 4;
// AMD APM vol. 2, chapter 5). Tables are read through GuestMemory only, at most five
// reads per translation, and nothing is cached: the tables are the guest's and may
// change at any time. Accessed and dirty bits are not set.
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "base/units.hpp"
#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/guest_memory.hpp"

namespace undercroft::paging {

enum class WalkError : std::uint8_t {
    not_present,
    forbidden, ///< U/S or W refuses the access
    not_canonical,
    unreadable, ///< a table, or the page itself, is not guest RAM
};

enum class WalkAccess : std::uint8_t { read, write };

struct Translation {
    Gpa gpa{};
    std::uint64_t page_bytes = 0; ///< size of the guest's page
};

/// Checks U/S (for cpl 3) and W (for writes, where cpl 3 or CR0.WP ask for it). NX, SMEP,
/// SMAP and protection keys are not checked and reserved bits are tolerated: the access
/// in question got past the guest's checks already.
[[nodiscard]] std::expected<Translation, WalkError>
translate(core::GuestMemory const& memory, backend::PagingState const& paging, Gva linear, WalkAccess access);

/// Linear addresses outside 64-bit mode have 32 bits.
[[nodiscard]] Gva wrap_linear(backend::PagingState const& paging, std::uint64_t address);

/// Reads page by page. On error `into` is unspecified.
[[nodiscard]] std::expected<void, WalkError>
read_virtual(core::GuestMemory const& memory, backend::PagingState const& paging, Gva from, std::span<std::byte> into);

/// Writes page by page, after all pages have been checked: on error nothing was written
/// (unless the guest changes its tables meanwhile).
[[nodiscard]] std::expected<void, WalkError>
write_virtual(core::GuestMemory& memory, backend::PagingState const& paging, Gva to, std::span<std::byte const> from);

inline constexpr std::size_t max_instruction_bytes = 15;

/// Reads instruction bytes at cs_base + rip (cs_base is ignored in 64-bit mode). Returns
/// how many were got: fewer than 16 when the following page is not mapped, 0 when none.
[[nodiscard]] std::size_t fetch_instruction(core::GuestMemory const& memory, backend::PagingState const& paging,
                                            std::uint64_t cs_base, std::uint64_t rip, std::span<std::byte, 16> into);

} // namespace undercroft::paging
