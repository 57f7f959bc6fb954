// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace undercroft::ata {

/// The first few of a kind are logged, then ever fewer: a guest must not be able to flood the log.
[[nodiscard]] constexpr bool worth_logging(std::uint64_t times)
{
    return times <= 8 || (times & (times - 1)) == 0;
}

} // namespace undercroft::ata
