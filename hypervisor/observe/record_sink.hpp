// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the observer puts records and from which the sender takes slots.
#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/record.hpp"

namespace undercroft::observe {

/// One stream's buffer of slots (observe/slot_buffer.hpp implements it).
/// Callers hold the buffer's lock from begin_request to end_request, so that the
/// records of one command stay together.
class RecordSink {
public:
    virtual void begin_request() = 0;
    /// Appends a record and, when content_bytes is set in it, that many bytes.
    /// Policy drop, no room: the record is counted and its sequence number is spent; false.
    /// Policy hold, no room: runs the sender until there is room; true.
    virtual bool append(wire::Record const& record, std::byte const* content) = 0;
    virtual void end_request() = 0;

protected:
    ~RecordSink() = default;
};

} // namespace undercroft::observe
