// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <array>
#include <optional>

#include <fmt/format.h>

#include "analysis/command.hpp"
#include "analysis/export/dump_command.hpp"
#include "analysis/export/memory_rows.hpp"
#include "analysis/export/rows.hpp"
#include "analysis/read/content.hpp"
#include "analysis/read/error.hpp"
#include "analysis/text_output.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

struct ExportCommand {
    StoreOptions store;
    SourceOption source;
    std::string format;
    std::string out;
    std::string time_scale = "ns";
    std::optional<std::uint64_t> sweep;
    bool allow_missing{};

    void add_to(CLI::App& command);
    void run() const;

private:
    void run_ata(Boot const& boot, ExportFormat kind) const;
    void run_memory(Boot const& boot, ContentStore const& content) const;
    void run_csv(Boot const& boot) const;
    [[nodiscard]] bool run_dump(Boot const& boot) const;
    [[nodiscard]] TimeScale scale() const { return time_scale == "ns" ? TimeScale::ns : TimeScale::ransap; }
    void report_lost(std::uint64_t lost, ScanResult const& result) const;
};

constexpr std::size_t buffer_bytes = 1 << 20;

void ExportCommand::add_to(CLI::App& command)
{
    store.add_to(command);
    source.add_to(command);
    command.add_option("--format", format, "Of the files")
        ->check(CLI::IsMember({"ransap", "ransmap", "csv", "lime", "padded", "elf"}))
        ->required();
    command
        .add_option("--out", out,
                    "Folder for the files, made if it is not there; of a memory dump (lime, padded, elf) the file")
        ->required();
    command
        .add_option("--time-scale", time_scale, "Of the second column: nanoseconds, or RanSAP's n of 2^30 per second")
        ->check(CLI::IsMember({"ns", "ransap"}))
        ->capture_default_str();
    command.add_option("--sweep", sweep, "Number of the snapshot to rebuild (default: the last complete one)");
    command.add_flag("--allow-missing", allow_missing, "Write zeros for pages that are missing");
}

void ExportCommand::report_lost(std::uint64_t lost, ScanResult const& result) const
{
    for (Hole const& hole : result.holes)
        lost += hole.count;
    if (lost != 0)
        fmt::print(stderr, "undercroft export: warning: {} records are missing in this boot (gaps)\n", lost);
}

void ExportCommand::run_ata(Boot const& boot, ExportFormat kind) const
{
    ContentStore const content{store.store};
    TextOutput reads{fs::path{out} / "ata_read.csv"};
    TextOutput writes{fs::path{out} / "ata_write.csv"};
    std::uint64_t lost = 0;
    std::uint64_t read_lines = 0;
    std::uint64_t write_lines = 0;
    std::uint64_t without_content = 0;
    Columns const columns{.address = true, .length = true, .entropy = true, .content = true};
    RecordFilter filter;
    filter.source = source.get();
    ScanResult const result =
        scan_with_content(boot.files, columns, filter, content, [&](RecordRow const& row, std::string const* data) {
            bool const write = row.kind == RecordKind::write;
            TextOutput& output = write ? writes : reads;
            (write ? write_lines : read_lines) += append_ata_lines(output.text(), row, data, kind, scale());
            output.drain(buffer_bytes);
            without_content += write && data == nullptr ? 1 : 0;
            lost += row.kind == RecordKind::gap ? row.length : 0;
            return Visit::next;
        });
    reads.close();
    writes.close();
    report_lost(lost, result);
    fmt::print("{}/ata_read.csv: {} lines\n{}/ata_write.csv: {} lines\n", out, read_lines, out, write_lines);
    if (kind == ExportFormat::ransap && without_content != 0)
        fmt::print("{} writes have no captured content: their second entropy is 0.0\n", without_content);
    if (kind == ExportFormat::ransmap)
        run_memory(boot, content);
}

void ExportCommand::run_memory(Boot const& boot, ContentStore const& content) const
{
    std::array<std::optional<TextOutput>, memory_file_names.size()> files;
    for (std::size_t i = 0; i < files.size(); ++i)
        files.at(i).emplace(fs::path{out} / memory_file_names.at(i));
    std::array<std::uint64_t, memory_file_names.size()> lines{};
    std::uint64_t lost = 0;
    Columns const columns{
        .address = true, .length = true, .entropy = true, .flags = true, .content = true, .page_class = true};
    ScanResult const result =
        scan_with_content(boot.memory_files, columns, {}, content, [&](RecordRow const& row, std::string const* data) {
            lost += row.kind == RecordKind::gap ? row.length : 0;
            if (auto const file = memory_file_of(row.kind)) {
                append_memory_line(files.at(*file)->text(), row, data, scale());
                files.at(*file)->drain(buffer_bytes);
                ++lines.at(*file);
            }
            return Visit::next;
        });
    for (std::size_t i = 0; i < files.size(); ++i) {
        files.at(i)->close();
        fmt::print("{}/{}: {} lines\n", out, memory_file_names.at(i), lines.at(i));
    }
    report_lost(lost, result);
}

void ExportCommand::run_csv(Boot const& boot) const
{
    TextOutput output{fs::path{out} / "records.csv"};
    output.text() = csv_header;
    std::uint64_t lost = 0;
    std::uint64_t lines = 0;
    Columns const columns{
        .address = true, .length = true, .source = true, .entropy = true, .flags = true, .content = true};
    RecordFilter filter;
    filter.source = source.get();
    ScanResult const result = scan_records(boot, columns, filter, [&](RecordRow const& row) {
        append_csv_line(output.text(), row);
        output.drain(buffer_bytes);
        ++lines;
        lost += row.kind == RecordKind::gap ? row.length : 0;
        return Visit::next;
    });
    output.close();
    report_lost(lost, result);
    fmt::print("{}/records.csv: {} lines\n", out, lines);
}

bool ExportCommand::run_dump(Boot const& boot) const
{
    constexpr std::array<std::pair<std::string_view, DumpFormat>, 3> formats{
        {{"lime", DumpFormat::lime}, {"padded", DumpFormat::padded}, {"elf", DumpFormat::elf}}};
    for (auto const& [name, kind] : formats) {
        if (format != name)
            continue;
        export_dump(boot, store.store, {.format = kind, .sweep = sweep, .allow_missing = allow_missing, .out = out});
        return true;
    }
    if (sweep || allow_missing)
        throw Error{"--sweep and --allow-missing go with the formats lime, padded and elf"};
    return false;
}

void ExportCommand::run() const
{
    Boot const boot = store.select();
    if (run_dump(boot))
        return;
    fs::create_directories(out);
    if (format == "csv")
        run_csv(boot);
    else
        run_ata(boot, format == "ransap" ? ExportFormat::ransap : ExportFormat::ransmap);
}

} // namespace

void register_export(CLI::App& root, int& exit_code)
{
    CLI::App* const command =
        root.add_subcommand("export", "Write records as RanSAP, RanSMAP or plain CSV files, or a snapshot of memory");
    auto const self = std::make_shared<ExportCommand>();
    self->add_to(*command);
    on_run(*command, exit_code, [self] { self->run(); });
}

} // namespace undercroft::analysis
