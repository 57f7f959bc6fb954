// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {

/// A text file that gets its name only when it is complete.
class TextOutput {
public:
    explicit TextOutput(std::filesystem::path file)
        : file_{std::move(file)}, part_{file_.string() + ".part"}, out_{part_, std::ios::binary}
    {
        if (!out_)
            throw Error{fmt::format("{}: cannot be created", part_.string())};
    }

    ~TextOutput()
    {
        std::error_code ignored; // there is none left after close()
        std::filesystem::remove(part_, ignored);
    }
    TextOutput(TextOutput const&) = delete;
    TextOutput& operator=(TextOutput const&) = delete;

    std::string& text() { return text_; }
    /// Writes what has come together once it is longer than `above`.
    void drain(std::size_t above)
    {
        if (text_.size() <= above)
            return;
        out_ << text_;
        text_.clear();
        if (!out_)
            throw Error{fmt::format("{}: cannot be written (disk full?)", part_.string())};
    }
    void close()
    {
        drain(0);
        out_.close();
        std::error_code error;
        if (out_)
            std::filesystem::rename(part_, file_, error);
        if (!out_ || error)
            throw Error{fmt::format("{}: cannot be written (disk full?)", file_.string())};
    }

private:
    std::filesystem::path file_;
    std::filesystem::path part_;
    std::ofstream out_;
    std::string text_;
};

} // namespace undercroft::analysis
