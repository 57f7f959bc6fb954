// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// For accesses that the processor has not yet checked: a translation is given only where
// the processor's own access could neither fault nor change the tables.
#include <cstdint>
#include <optional>

#include "base/units.hpp"
#include "hypervisor/backend/backend.hpp"
#include "hypervisor/core/guest_memory.hpp"

namespace undercroft::paging {

struct SupervisorTranslation {
    Gpa gpa{};
    bool writable = false;   ///< W at every level and the page is marked dirty already
    bool executable = false; ///< no NX at any level
    bool plain_type = false; ///< page attributes 0: write-back in every system in use
};

/// For 64-bit mode at CPL 0 only. Nothing: not canonical, not present, a table outside guest RAM,
/// Accessed clear at some level, a user page (SMAP, SMEP), a reserved bit set.
[[nodiscard]] std::optional<SupervisorTranslation> translate_supervisor(core::GuestMemory const& memory,
                                                                        backend::PagingState const& paging, Gva linear);

/// As the guest's paging mode defines it.
[[nodiscard]] bool is_canonical(backend::PagingState const& paging, std::uint64_t linear);

} // namespace undercroft::paging
