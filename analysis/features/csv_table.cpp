// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "analysis/features/table.hpp"
#include "analysis/text_output.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t buffer_bytes = 1 << 20;

/// In quotes where the text would otherwise be read as something else. Names of folders can be anything.
std::string field(std::string const& text)
{
    if (text.find_first_of(",\"\r\n") == std::string::npos)
        return text;
    std::string quoted = "\"";
    for (char const c : text)
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + '"';
}

class CsvTable final : public FeatureTable {
public:
    CsvTable(std::filesystem::path const& file, std::vector<std::string> const& columns) : output_{file}
    {
        output_.text() = "machine,boot,window_start_ns";
        for (std::string const& column : columns)
            output_.text() += "," + column;
        output_.text() += ",read_pieces,write_pieces,lost_records\n";
    }

    void add(TraceName const& trace, FeatureRow const& row) override
    {
        auto out = std::back_inserter(output_.text());
        out = fmt::format_to(out, "{},{},{}", field(trace.machine), field(trace.boot), row.start_ns);
        for (double const value : row.values)
            out = std::isnan(value) ? fmt::format_to(out, ",") : fmt::format_to(out, ",{}", value);
        fmt::format_to(out, ",{},{},{}\n", row.read_pieces, row.write_pieces, row.lost_records);
        output_.drain(buffer_bytes);
    }

    void close() override { output_.close(); }

private:
    TextOutput output_;
};

} // namespace

std::unique_ptr<FeatureTable> make_csv_table(std::filesystem::path const& file, std::vector<std::string> const& columns)
{
    return std::make_unique<CsvTable>(file, columns);
}

} // namespace undercroft::analysis
