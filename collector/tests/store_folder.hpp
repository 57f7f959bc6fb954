// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A folder for a store under test, in memory where possible: these tests sync thousands of times.
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "collector/store/files.hpp"

namespace undercroft::collector::test {

class StoreFolder {
public:
    StoreFolder()
    {
        std::string name = (::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        name += "/undercroft-test-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            throw_errno("cannot make", name);
        path_ = name;
    }
    ~StoreFolder()
    {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    StoreFolder(StoreFolder const&) = delete;
    StoreFolder& operator=(StoreFolder const&) = delete;
    [[nodiscard]] fs::path const& path() const { return path_; }

private:
    fs::path path_;
};

} // namespace undercroft::collector::test
