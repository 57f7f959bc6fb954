// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/api/layout.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"
#include "base/le.hpp"
#include "serve/api/content_search.hpp"

namespace undercroft::serve {
using nlohmann::json;
namespace {

constexpr std::uint64_t last_table_block = 5; ///< blocks 0 to 4 hold MBR, GPT header and its usual 128 entries
constexpr std::size_t most_row_groups = 16;

template <typename T>
T at(std::string const& bytes, std::size_t offset)
{
    T value{};
    for (std::size_t i = 0; i < sizeof(T) && offset + i < bytes.size(); ++i)
        value |= static_cast<T>(static_cast<T>(static_cast<std::uint8_t>(bytes[offset + i])) << (8 * i));
    return value;
}

std::string_view part(std::string const& bytes, std::size_t offset, std::size_t length)
{
    return offset < bytes.size() ? std::string_view{bytes}.substr(offset, length) : std::string_view{};
}

std::string gpt_name(std::string const& entries, std::size_t offset)
{
    std::string name;
    for (std::size_t i = 0; i < 36; ++i) {
        auto const unit = at<std::uint16_t>(entries, offset + 56 + 2 * i);
        if (unit == 0)
            break;
        name += unit >= 0x20 && unit < 0x7F ? static_cast<char>(unit) : '?';
    }
    return name;
}

/// The first blocks of the disk, and of volumes, as they were written last.
class WrittenBlocks {
public:
    WrittenBlocks(std::filesystem::path const& store, BootIndex const& boot, std::uint16_t source)
        : store_{store}, view_{boot.storage.view()}, source_{source}
    {
    }

    /// 4 KiB from a sector on; empty when not all of it was captured.
    std::string read(std::uint64_t lba)
    {
        Wanted best{};
        for (auto const& file : view_.files) {
            for (auto const group : groups_with(*file, lba / 8))
                look_into(*file, group, lba, best);
        }
        if (best.time_ns < 0)
            return {};
        auto const data = find_content(store_, best.hash, best.time_ns);
        std::size_t const skip = static_cast<std::size_t>(lba - best.lba) * 512;
        return data && skip < data->size() ? data->substr(skip) : std::string{};
    }

private:
    struct Wanted {
        std::int64_t time_ns = -1;
        std::uint64_t lba{};
        analysis::Hash hash{};
    };

    [[nodiscard]] std::vector<int> groups_with(FileIndex const& file, std::uint64_t block) const
    {
        std::vector<int> groups;
        std::uint64_t const cell = block >> base_block_shift;
        for (PlaneEntry const& plane : file.planes) {
            if (plane.key.source != source_ || plane.key.layer == Layer::read ||
                plane.key.block_shift != base_block_shift || plane.key.time_shift != base_time_shift)
                continue;
            auto const entries = file.entries(plane);
            auto entry = std::ranges::lower_bound(entries, cell << column_bits, {}, &CellEntry::place);
            for (; entry != entries.end() && entry->place >> column_bits == cell; ++entry) {
                std::int64_t const column =
                    (plane.key.window << column_bits) +
                    static_cast<std::int64_t>(entry->place & ((std::uint64_t{1} << column_bits) - 1));
                for (std::size_t i = 0; i < file.groups.size(); ++i)
                    if (file.groups[i].last_ns >= column << base_time_shift &&
                        file.groups[i].first_ns < (column + 1) << base_time_shift)
                        groups.push_back(static_cast<int>(i));
            }
        }
        std::ranges::sort(groups);
        auto const twice = std::ranges::unique(groups);
        groups.erase(twice.begin(), twice.end());
        if (groups.size() > most_row_groups)
            groups.erase(groups.begin(), groups.end() - most_row_groups);
        return groups;
    }

    void look_into(FileIndex const& file, int group, std::uint64_t lba, Wanted& best) const
    {
        analysis::Columns columns = index_columns;
        columns.content = true;
        analysis::scan_row_groups(file.file, {group}, columns, [&](analysis::RecordRow const& row) {
            if (row.kind == analysis::RecordKind::write && row.source == source_ && row.content != nullptr &&
                row.address <= lba && row.end_lba() > lba && row.time_ns >= best.time_ns)
                best = {.time_ns = row.time_ns, .lba = row.address, .hash = *row.content};
            return analysis::Visit::next;
        });
    }

    std::filesystem::path store_;
    StreamView view_;
    std::uint16_t source_;
};

std::vector<Partition> captured_partitions(WrittenBlocks& blocks)
{
    std::string const first = blocks.read(0);
    std::string const header = first.size() >= 1024 ? first.substr(512) : blocks.read(1);
    if (part(header, 0, 8) == "EFI PART") {
        std::string entries = first.size() > 1024 ? first.substr(1024) : blocks.read(2);
        for (std::uint64_t block = 1; block < last_table_block && entries.size() % 512 == 0; ++block) {
            std::string const more = blocks.read(2 + entries.size() / 512);
            if (more.empty())
                break;
            entries += more;
        }
        return parse_gpt_entries(entries);
    }
    return parse_mbr(first);
}

void add_file_system(WrittenBlocks& blocks, Partition const& in, std::vector<Partition>& marks)
{
    std::string first = blocks.read(in.first_lba);
    if (first.size() < 4096) { // ext's superblock is often written by itself
        std::string const super = blocks.read(in.first_lba + 2);
        if (!super.empty()) {
            first.resize(1024, '\0');
            first = first.substr(0, 1024) + super;
        }
    }
    if (auto const found = parse_file_system(first))
        marks.push_back({.first_lba = in.first_lba, .end_lba = in.first_lba + found->sectors, .name = found->type});
}

} // namespace

std::vector<Partition> parse_mbr(std::string const& sector)
{
    std::vector<Partition> found;
    if (sector.size() < 512 || at<std::uint16_t>(sector, 510) != 0xAA55 || parse_file_system(sector))
        return found;
    for (std::size_t i = 0; i < 4; ++i) {
        std::size_t const entry = 446 + 16 * i;
        auto const type = at<std::uint8_t>(sector, entry + 4);
        auto const first = at<std::uint32_t>(sector, entry + 8);
        auto const length = at<std::uint32_t>(sector, entry + 12);
        if (type != 0 && type != 0xEE && length != 0)
            found.push_back({.first_lba = first,
                             .end_lba = std::uint64_t{first} + length,
                             .name = fmt::format("partition {} (type {:02x})", i + 1, type)});
    }
    return found;
}

std::vector<Partition> parse_gpt_entries(std::string const& entries)
{
    std::vector<Partition> found;
    for (std::size_t offset = 0; offset + 128 <= std::min<std::size_t>(entries.size(), 128 * 128); offset += 128) {
        auto const first = at<std::uint64_t>(entries, offset + 32);
        auto const last = at<std::uint64_t>(entries, offset + 40);
        bool const used = at<std::uint64_t>(entries, offset) != 0 || at<std::uint64_t>(entries, offset + 8) != 0;
        if (!used || last < first || last >= std::uint64_t{1} << 48)
            continue;
        std::string const name = gpt_name(entries, offset);
        found.push_back({.first_lba = first,
                         .end_lba = last + 1,
                         .name = fmt::format("partition {}{}{}", offset / 128 + 1, name.empty() ? "" : " ", name)});
    }
    return found;
}

std::optional<FileSystem> parse_file_system(std::string const& bytes)
{
    if (bytes.size() >= 1024 + 100 && at<std::uint16_t>(bytes, 1024 + 56) == 0xEF53) {
        auto const shift = at<std::uint32_t>(bytes, 1024 + 24);
        auto const blocks = at<std::uint32_t>(bytes, 1024 + 4);
        bool const extents = (at<std::uint32_t>(bytes, 1024 + 96) & 0x40) != 0;
        bool const journal = (at<std::uint32_t>(bytes, 1024 + 92) & 4) != 0;
        if (shift > 6)
            return std::nullopt;
        return FileSystem{.type = extents   ? "ext4"
                                  : journal ? "ext3"
                                            : "ext2",
                          .sectors = std::uint64_t{blocks} << (shift + 1)};
    }
    if (part(bytes, 3, 8) == "NTFS    ")
        return FileSystem{.type = "NTFS", .sectors = at<std::uint64_t>(bytes, 40) + 1};
    if (part(bytes, 82, 5) == "FAT32")
        return FileSystem{.type = "FAT32", .sectors = at<std::uint32_t>(bytes, 32)};
    if (part(bytes, 54, 4) == "FAT1") {
        auto const few = at<std::uint16_t>(bytes, 19);
        return FileSystem{.type = "FAT", .sectors = few != 0 ? few : at<std::uint32_t>(bytes, 32)};
    }
    if (part(bytes, 0, 4) == "XFSB")
        return FileSystem{.type = "XFS", .sectors = 0};
    return std::nullopt;
}

std::vector<Partition> read_sfdisk(std::filesystem::path const& file)
{
    std::ifstream in{file};
    json const table = json::parse(in, nullptr, false);
    std::vector<Partition> found;
    try {
        json const& described = table.at("partitiontable");
        std::uint64_t const sector = described.value("sectorsize", 512U) / 512;
        for (json const& entry : described.at("partitions")) {
            std::uint64_t const first = entry.at("start").get<std::uint64_t>() * sector;
            found.push_back({.first_lba = first,
                             .end_lba = first + entry.at("size").get<std::uint64_t>() * sector,
                             .name = entry.value("name", entry.value("node", std::string{"partition"}))});
        }
    } catch (json::exception const&) {
        throw analysis::Error{file.string() + ": not what `sfdisk --json` prints"};
    }
    return found;
}

json disk_marks(std::filesystem::path const& store, BootIndex const& boot, std::uint16_t source,
                std::filesystem::path const& layouts)
{
    json list = json::array();
    auto const add = [&](std::vector<Partition> const& partitions, char const* from) {
        for (Partition const& partition : partitions)
            list.push_back({{"first_lba", partition.first_lba},
                            {"end_lba", partition.end_lba},
                            {"name", partition.name},
                            {"from", from}});
    };
    std::filesystem::path const given = layouts / fmt::format("{}-{}.json", boot.boot.machine, source);
    WrittenBlocks blocks{store, boot, source};
    std::vector<Partition> partitions;
    if (!layouts.empty() && std::filesystem::exists(given)) {
        partitions = read_sfdisk(given);
        add(partitions, "file");
    } else {
        partitions = captured_partitions(blocks);
        add(partitions, "captured");
    }
    if (partitions.empty())
        partitions.push_back({.first_lba = 0, .end_lba = 0, .name = {}}); // a file system without a table
    std::vector<Partition> systems;
    for (Partition const& partition : partitions)
        add_file_system(blocks, partition, systems);
    add(systems, "captured");
    return list;
}

} // namespace undercroft::serve
