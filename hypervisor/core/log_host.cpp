// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The log of host tests: every line goes to stderr.
#include <cstdio>

#include "hypervisor/core/log.hpp"

namespace undercroft::core {

void log_line(LogLevel level, std::string_view text)
{
    static constexpr char const* names[] = {"error", "warning", "info", "debug"};
    std::fprintf(stderr, "%s: %.*s\n", names[static_cast<unsigned>(level) & 3], static_cast<int>(text.size()),
                 text.data());
}

} // namespace undercroft::core
