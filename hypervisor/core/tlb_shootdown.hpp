// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once

namespace undercroft::core {

/// Table changes that take rights away reach every CPU before the change counts as made.
class TlbShootdown {
public:
    virtual void request_flush() = 0;

protected:
    ~TlbShootdown() = default;
};

} // namespace undercroft::core
