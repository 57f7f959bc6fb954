// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Lines and folders of RanSAP and RanSMAP: values worked out by hand from docs/formats/ransap.md.
#include <cmath>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <gtest/gtest.h>
#include <zlib.h>

#include "analysis/read/error.hpp"
#include "analysis/traces/run_folder.hpp"
#include "analysis/traces/trace_lines.hpp"
#include "analysis/traces/zip_archive.hpp"

namespace undercroft::analysis {
namespace {

namespace fs = std::filesystem;

struct Parsed {
    std::vector<Access> accesses;
    Complaints complaints;
};

Parsed parse(std::string_view text, TraceKind kind, SubSecondScale scale = SubSecondScale::two_to_30)
{
    Parsed result;
    parse_trace_lines(text, kind, scale, result.accesses, result.complaints);
    return result;
}

TEST(TraceLines, SubSecondsRunOverTwoToThePowerOf30)
{
    // Half a second is 2^29; one microsecond of the published clock is 2^30 / 10^6 = 1073.74 rounded down.
    auto const parsed =
        parse("1586220958,536870912,2508800,4096\n1586220958,1073741823,0,512\n1,1073,8,8\n", TraceKind::read);
    ASSERT_EQ(parsed.accesses.size(), 3);
    EXPECT_EQ(parsed.accesses[0].time_ns, 1'586'220'958'500'000'000);
    EXPECT_EQ(parsed.accesses[0].address, 2508800);
    EXPECT_EQ(parsed.accesses[0].bytes, 4096);
    EXPECT_EQ(parsed.accesses[1].time_ns, 1'586'220'958'999'999'999);
    EXPECT_EQ(parsed.accesses[2].time_ns, 1'000'000'999);
    EXPECT_EQ(parsed.accesses[2].bytes, 8);
    EXPECT_FALSE(parsed.complaints.any());
    auto const plain = parse("7,999999999,8,512\n", TraceKind::read, SubSecondScale::nanoseconds);
    EXPECT_EQ(plain.accesses.at(0).time_ns, 7'999'999'999);
}

TEST(TraceLines, EntropiesAsJavaWritesThem)
{
    auto const parsed = parse("1,0,8,4096,-0.0,0.0\n1,0,8,4096,1.2E-4,0.5\n1,0,8,4096,0.6024864588576487,0\n"
                              "1,0,8,4096,1.0,0\n1,0,8,4096,0.00025,0\n",
                              TraceKind::write);
    ASSERT_EQ(parsed.accesses.size(), 5);
    EXPECT_EQ(parsed.accesses[0].entropy, 0.0F);
    EXPECT_FALSE(std::signbit(parsed.accesses[0].entropy));
    EXPECT_FLOAT_EQ(parsed.accesses[1].entropy, 1.2e-4F);
    EXPECT_FLOAT_EQ(parsed.accesses[2].entropy, 0.6024864588576487F);
    EXPECT_EQ(parsed.accesses[3].entropy, 1.0F);
    EXPECT_FLOAT_EQ(parsed.accesses[4].entropy, 2.5e-4F);
    EXPECT_FALSE(parsed.complaints.any());
}

TEST(TraceLines, RansmapPadsAndTypes)
{
    auto const parsed = parse("1674709901, 107888363,8549463385,0,-1,2\n1674709901,      1073,8,0,-1,4\n1,0,8,0,-1,3\n",
                              TraceKind::memory_execute);
    ASSERT_EQ(parsed.accesses.size(), 3);
    EXPECT_EQ(parsed.accesses[0].address, 8549463385);
    EXPECT_EQ(parsed.accesses[0].mapping, MappingClass::page_2m);
    EXPECT_EQ(parsed.accesses[1].mapping, MappingClass::mmio);
    EXPECT_EQ(parsed.accesses[2].mapping, MappingClass::none);
    EXPECT_EQ(parsed.complaints[Complaint::unknown_mapping], 1);
    auto const reads = parse("1674709901, 394844574,36122621,4096,-1,0\n", TraceKind::read);
    EXPECT_EQ(reads.accesses.size(), 1);
    EXPECT_FALSE(reads.complaints.any());
}

TEST(TraceLines, EveryOddityIsCountedByName)
{
    auto const parsed = parse("\xEF\xBB\xBFsec,nsec,lba,size,e,e2\n"
                              "1,2,3,4096,0.5,0.5\r\n"
                              "\n"
                              "   \n"
                              "1,2,3\n"
                              "1,2,3,4096\n"
                              "1,2,3,4096,0.5\n"
                              "1,2,3,4096,0.5,0.5,9\n"
                              "1,x,3,4096,0.5,0.5\n"
                              "-1,2,3,4096,0.5,0.5\n"
                              "1,2147483648,3,4096,0.5,0.5\n"
                              "1,2,3,0,0.5,0.5\n"
                              "1,2,3,99999999999,0.5,0.5\n"
                              "1,2,3,4096,1.5,0.5\n"
                              "1,2,3,4096,1e99999999999,0.5\n"
                              "1,2,3,4096,-1,0\n"
                              "1,2,3,4096,NaN,0\n"
                              "99999999999999999999999,2,3,4096,0.5,0.5\n"
                              "5,0,3,512,0.25,0",
                              TraceKind::write);
    auto const& complaints = parsed.complaints;
    EXPECT_EQ(complaints[Complaint::byte_order_mark], 1);
    EXPECT_EQ(complaints[Complaint::header_line], 1);
    EXPECT_EQ(complaints[Complaint::carriage_return], 1);
    EXPECT_EQ(complaints[Complaint::blank_line], 2);
    EXPECT_EQ(complaints[Complaint::malformed_line], 7);
    EXPECT_EQ(complaints[Complaint::sub_seconds_out_of_range], 1);
    EXPECT_EQ(complaints[Complaint::bytes_out_of_range], 2);
    EXPECT_EQ(complaints[Complaint::entropy_out_of_range], 2);
    EXPECT_EQ(complaints[Complaint::entropy_missing], 2);
    EXPECT_EQ(complaints[Complaint::unfinished_last_line], 1);
    ASSERT_EQ(parsed.accesses.size(), 7);
    EXPECT_EQ(parsed.accesses[1].time_ns, 3'000'000'000); // 2^31 sub-seconds are two seconds
    EXPECT_EQ(parsed.accesses.back().bytes, 512);
}

class Folder : public testing::Test {
protected:
    Folder() { fs::create_directories(root_); }
    ~Folder() override { fs::remove_all(root_); }

    void write(fs::path const& file, std::string const& text) const
    {
        fs::create_directories((root_ / file).parent_path());
        std::ofstream{root_ / file, std::ios::binary} << text;
    }

    fs::path root_ = fs::temp_directory_path() / ("undercroft-traces-" + std::to_string(::getpid()));
};

void append_number(std::string& text, std::uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> (8 * i));
}

/// A ZIP file by the specification, of one deflated entry.
std::string zip_of(std::string const& name, std::string const& data)
{
    std::string packed(compressBound(data.size()), '\0');
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    auto const crc = crc32_z(0, reinterpret_cast<Bytef const*>(data.data()), data.size());
    std::string common;
    append_number(common, 0, 2); // flags
    append_number(common, 8, 2); // method
    append_number(common, 0, 4); // time, date
    append_number(common, crc, 4);
    append_number(common, packed.size(), 4);
    append_number(common, data.size(), 4);
    append_number(common, name.size(), 2);
    append_number(common, 0, 2); // extra
    std::string zip = "PK\x03\x04";
    append_number(zip, 20, 2);
    zip += common + name + packed;
    std::size_t const directory = zip.size();
    zip += "PK\x01\x02";
    append_number(zip, 20, 2);
    append_number(zip, 20, 2);
    zip += common;
    zip.resize(directory + 46, '\0'); // no comment, no attributes, the local header is at 0
    zip += name;
    std::size_t const size = zip.size() - directory;
    zip += std::string{"PK\x05\x06\0\0\0\0", 8};
    append_number(zip, 1, 2);
    append_number(zip, 1, 2);
    append_number(zip, size, 4);
    append_number(zip, directory, 4);
    append_number(zip, 0, 2);
    return zip;
}

TEST_F(Folder, RunsAreNamedByTheirPathAndSortedByTime)
{
    // As published: rows sorted as text, not as numbers.
    write("dataset/original/win7-250gb-hdd/Zip-variant1/Zip-20200101_00-00-00/ata_read.csv",
          "10,1000,16,4096\n10,200,8,4096\n9,5,80,512\n");
    write("dataset/original/i3-gen12/ddr4-16g/Idle/Idle-1/ata_write.csv", "10,200,8,4096,0.5,0\n");
    write("dataset/original/i3-gen12/ddr4-16g/Idle/Idle-1/mem_exec.csv", "10,100,4096,0,-1,1\n");
    auto const places = find_runs(root_);
    ASSERT_EQ(places.size(), 2);
    EXPECT_EQ(places[0].environment, "i3-gen12/ddr4-16g");
    EXPECT_EQ(places[1].environment, "win7-250gb-hdd");
    EXPECT_EQ(places[1].program, "Zip");
    EXPECT_EQ(places[1].variant, "variant1");
    TraceRun const run = load_run(places[1], SubSecondScale::two_to_30, {});
    EXPECT_TRUE(run.has_reads);
    EXPECT_FALSE(run.has_writes);
    ASSERT_EQ(run.accesses.size(), 3);
    EXPECT_EQ(run.accesses[0].address, 80);
    EXPECT_EQ(run.accesses[1].address, 8);
    EXPECT_EQ(run.accesses[2].address, 16);
    TraceRun const memory = load_run(places[0], SubSecondScale::two_to_30, {});
    EXPECT_TRUE(memory.has_memory);
    EXPECT_TRUE(is_memory(memory.accesses.at(0).kind));
}

TEST_F(Folder, ZippedFilesAreReadAndDamagedOnesNamed)
{
    std::string text;
    for (int i = 0; i < 1000; ++i)
        text += "10," + std::to_string(i) + ",8,4096\n";
    std::string const zip = zip_of("run/ata_read.csv", text);
    write("m/Zip/Zip-1/ata_read.zip", zip);
    TraceRun const run = load_run(find_runs(root_).at(0), SubSecondScale::two_to_30, {});
    EXPECT_EQ(run.accesses.size(), 1000);
    EXPECT_THROW((void)unpack_zip_entry(zip, "ata_write.csv", 1 << 20), Error);
    EXPECT_THROW((void)unpack_zip_entry(zip, "ata_read.csv", 100), Error);
    for (std::size_t cut = 0; cut < zip.size(); ++cut)
        EXPECT_THROW((void)unpack_zip_entry(zip.substr(0, cut), "ata_read.csv", 1 << 20), Error);
    std::size_t refused = 0;
    for (std::size_t at = 0; at < zip.size(); ++at) {
        std::string wrong = zip;
        wrong[at] = static_cast<char>(wrong[at] ^ 0x55);
        try {
            EXPECT_EQ(unpack_zip_entry(wrong, "ata_read.csv", 1 << 20), text);
        } catch (Error const&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, zip.size() / 2);
}

TEST_F(Folder, NothingToRead)
{
    write("m/Zip/Zip-1/readme.txt", "no");
    EXPECT_THROW((void)find_runs(root_), Error);
    EXPECT_THROW((void)find_runs(root_ / "none"), Error);
}

} // namespace
} // namespace undercroft::analysis
