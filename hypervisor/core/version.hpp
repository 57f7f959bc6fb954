// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once

namespace undercroft::core {

inline constexpr char version[] = "0.1.0";

} // namespace undercroft::core
