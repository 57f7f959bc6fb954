// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

namespace undercroft::analysis {

/// A text file that gets its name only when it is complete. Throws Error.
class TextOutput {
public:
    explicit TextOutput(std::filesystem::path file);
    ~TextOutput();
    TextOutput(TextOutput const&) = delete;
    TextOutput& operator=(TextOutput const&) = delete;

    /// What is appended here is written by drain().
    std::string& text() { return text_; }
    /// Writes when more than so many bytes wait.
    void drain(std::size_t above);
    void close();

private:
    std::filesystem::path file_;
    std::filesystem::path part_;
    std::ofstream out_;
    std::string text_;
};

} // namespace undercroft::analysis
