// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/log.hpp"
#include "hypervisor/core/text.hpp"

namespace undercroft::core {

void log_values(LogLevel level, LogValue const* values, unsigned count)
{
    char memory[512];
    TextBuffer line{memory};
    for (unsigned i = 0; i < count; ++i) {
        LogValue const& value = values[i];
        if (value.form == LogValue::Form::text)
            line.put(value.text);
        else if (value.form == LogValue::Form::decimal)
            line.put_decimal(value.number);
        else
            line.put("0x").put_hex(value.number);
    }
    log_line(level, line.view());
}

} // namespace undercroft::core
