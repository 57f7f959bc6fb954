// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <iterator>

#include <fmt/format.h>

#include "analysis/features/table.hpp"
#include "analysis/text_output.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::size_t buffer_bytes = 1 << 20;

class CsvTable final : public FeatureTable {
public:
    explicit CsvTable(std::filesystem::path const& file) : output_{file}
    {
        output_.text() = "machine,boot,window_start_ns,read_bytes_per_s,write_bytes_per_s,read_lba_variance,"
                         "write_lba_variance,write_entropy,read_pieces,write_pieces,lost_records\n";
    }

    void add(Boot const& boot, FeatureRow const& row) override
    {
        fmt::format_to(std::back_inserter(output_.text()), "{},{},{},{},{},{},{},{},{},{},{}\n", boot.machine, boot.id,
                       row.start_ns, row.read_bytes_per_s, row.write_bytes_per_s, row.read_lba_variance,
                       row.write_lba_variance, row.write_entropy ? fmt::format("{}", *row.write_entropy) : "",
                       row.read_pieces, row.write_pieces, row.lost_records);
        output_.drain(buffer_bytes);
    }

    void close() override { output_.close(); }

private:
    TextOutput output_;
};

} // namespace

std::unique_ptr<FeatureTable> make_csv_table(std::filesystem::path const& file)
{
    return std::make_unique<CsvTable>(file);
}

} // namespace undercroft::analysis
