// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The pre-shared keys of the machines, from the key file.
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "collector/ingest/identity.hpp"
#include "wire/seal.hpp"

namespace undercroft::collector {

class KeyFileError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class KeyRing {
public:
    /// 64 hexadecimal digits: one key for every machine. Or lines "MACHINE_ID KEY" (32 and 64 digits).
    /// Empty lines and lines starting with # are left out. Throws KeyFileError naming file and line.
    [[nodiscard]] static KeyRing parse(std::string const& text, std::string const& file_name);
    [[nodiscard]] static KeyRing read(std::string const& path);

    [[nodiscard]] wire::Key const* find(Id const& machine) const;

private:
    std::optional<wire::Key> common_;
    std::map<Id, wire::Key> by_machine_;
};

} // namespace undercroft::collector
