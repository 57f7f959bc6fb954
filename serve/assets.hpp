// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The page, built into the program: what `vite build` left in its folder (page/CMakeLists.txt).
#include <span>
#include <string_view>

namespace undercroft::serve {

struct Asset {
    std::string_view path; ///< "/index.html"
    std::string_view content_type;
    std::string_view bytes;
};

[[nodiscard]] std::span<Asset const> assets();

} // namespace undercroft::serve
