// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Any bytes as a trace of blktrace: every event is accounted for, and nothing outside the bytes is read.
#include <cstdlib>
#include <string_view>

#include "analysis/traces/blktrace.hpp"

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size)
{
    using namespace undercroft::analysis;
    BlktraceEvents events;
    parse_blktrace({reinterpret_cast<char const*>(data), size}, events);
    constexpr std::size_t event_bytes = 48;
    if ((events.issued.size() + events.queued.size()) * event_bytes > size)
        std::abort();
    bool const ended_early =
        events.complaints[Complaint::damaged_event] + events.complaints[Complaint::unfinished_event] != 0;
    if (size != 0 && size < event_bytes && !ended_early)
        std::abort();
    for (auto const* const list : {&events.issued, &events.queued})
        for (Access const& access : *list)
            if (access.time_ns < 0 || (access.bytes == 0 && access.kind != TraceKind::flush))
                std::abort();
    if (events.start_ns && *events.start_ns < 0)
        std::abort();
    return 0;
}
