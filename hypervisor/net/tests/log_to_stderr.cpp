// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "hypervisor/core/log.hpp"

namespace undercroft::core {

void log_line(LogLevel, std::string_view text)
{
    std::cerr << text << '\n';
}

void log_values(LogLevel, LogValue const* values, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        switch (values[i].form) {
        case LogValue::Form::text:
            std::cerr << values[i].text;
            break;
        case LogValue::Form::decimal:
            std::cerr << std::dec << values[i].number;
            break;
        case LogValue::Form::hex:
            std::cerr << "0x" << std::hex << values[i].number;
            break;
        }
    std::cerr << '\n';
}

} // namespace undercroft::core
