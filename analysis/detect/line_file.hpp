// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Files of JSON lines that several processes append to and follow.
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

namespace undercroft::analysis {

/// One line, in one write. Durable when it returns. Makes the folder. Throws Error.
void append_line(std::filesystem::path const& file, nlohmann::json const& line, bool durable);
void append_text(std::filesystem::path const& file, std::string const& text, bool durable);

/// Reads what was appended to the *.jsonl files of a folder since the last call.
class LineFollower {
public:
    explicit LineFollower(std::filesystem::path folder) : folder_{std::move(folder)} {}

    /// Whole lines that are JSON, file by file in the order of their names; others are counted and passed over.
    void read(std::function<void(nlohmann::json const&)> const& visit);
    [[nodiscard]] std::uint64_t unusable_lines() const { return unusable_; }

private:
    void read_file(std::filesystem::path const& file, std::uintmax_t& offset,
                   std::function<void(nlohmann::json const&)> const& visit);

    std::filesystem::path folder_;
    std::map<std::filesystem::path, std::uintmax_t> offsets_;
    std::uint64_t unusable_ = 0;
};

} // namespace undercroft::analysis
