// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/text_output.hpp"

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {

TextOutput::TextOutput(std::filesystem::path file)
    : file_{std::move(file)}, part_{file_.string() + ".part"}, out_{part_, std::ios::binary}
{
    if (!out_)
        throw Error{fmt::format("{}: cannot be created", part_.string())};
}

TextOutput::~TextOutput()
{
    std::error_code ignored; // there is none left after close()
    std::filesystem::remove(part_, ignored);
}

void TextOutput::drain(std::size_t above)
{
    if (text_.size() <= above)
        return;
    out_ << text_;
    text_.clear();
    if (!out_)
        throw Error{fmt::format("{}: cannot be written (disk full?)", part_.string())};
}

void TextOutput::close()
{
    drain(0);
    out_.close();
    std::error_code error;
    if (out_)
        std::filesystem::rename(part_, file_, error);
    if (!out_ || error)
        throw Error{fmt::format("{}: cannot be written (disk full?)", file_.string())};
}

} // namespace undercroft::analysis
