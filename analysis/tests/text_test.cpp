// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Times, Java's numbers, RanSAP's lines.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "analysis/export/entropy.hpp"
#include "analysis/export/java_number.hpp"
#include "analysis/export/rows.hpp"
#include "analysis/read/error.hpp"
#include "analysis/read/times.hpp"

namespace undercroft::analysis {
namespace {

constexpr std::int64_t start_ns = 1'700'000'000LL * second_ns; // 2023-11-14 22:13:20 UTC

TEST(Times, ParsesWhatUsersWrite)
{
    EXPECT_EQ(parse_time("2023-11-14T22:13:20Z", 0), start_ns);
    EXPECT_EQ(parse_time("2023-11-14 22:13:20.000000001", 0), start_ns + 1);
    EXPECT_EQ(parse_time("1700000000.25", 0), start_ns + 250'000'000);
    EXPECT_EQ(parse_time("+2.5s", start_ns), start_ns + 2'500'000'000);
    EXPECT_EQ(parse_time("+2m", start_ns), start_ns + 120 * second_ns);
    EXPECT_EQ(parse_time("2024-02-29T00:00:00Z", 0), 1'709'164'800LL * second_ns);
    EXPECT_EQ(parse_duration("250ms"), 250'000'000);
    EXPECT_EQ(parse_duration("60"), 60 * second_ns);
    EXPECT_EQ(parse_duration("1d"), 86400 * second_ns);
}

TEST(Times, RefusesTheRest)
{
    for (char const* text : {"", "x", "2023-02-29T00:00:00Z", "2023-11-14T24:00:00Z", "2023-11-14T22:13:60Z",
                             "2023-11-14", "1.2.3", "+", "+5y", "-5", "99999999999", "2023-11-14T22:13:20+01:00"})
        EXPECT_THROW((void)parse_time(text, 0), Error) << text;
    for (char const* text : {"", "0s", "-1s", "5x", "s", "1e3"})
        EXPECT_THROW((void)parse_duration(text), Error) << text;
}

TEST(Times, Formats)
{
    EXPECT_EQ(format_time(start_ns + 123456789, 3), "2023-11-14 22:13:20.123");
    EXPECT_EQ(format_clock(start_ns, 0), "22:13:20");
    EXPECT_EQ(format_span(12'500'000'000), "12.5 s");
    EXPECT_EQ(format_span(200 * second_ns), "3 min 20 s");
    EXPECT_EQ(format_span(7500 * second_ns), "2 h 5 min");
}

// Examples of java.lang.Double's toString rules: plain in [10^-3, 10^7), else computerised scientific notation.
TEST(JavaNumber, FollowsDoubleToString)
{
    EXPECT_EQ(java_text(1.2e-4), "1.2E-4");
    EXPECT_EQ(java_text(0.001), "0.001");
    EXPECT_EQ(java_text(9.99e-4), "9.99E-4");
    EXPECT_EQ(java_text(1.0), "1.0");
    EXPECT_EQ(java_text(100.0), "100.0");
    EXPECT_EQ(java_text(-0.0), "-0.0");
    EXPECT_EQ(java_text(0.0), "0.0");
    EXPECT_EQ(java_text(9999999.0), "9999999.0");
    EXPECT_EQ(java_text(1.0e7), "1.0E7");
    EXPECT_EQ(java_text(1.234567890123e10), "1.234567890123E10");
    EXPECT_EQ(java_text(123456.789), "123456.789");
    EXPECT_EQ(java_text(1e-300), "1.0E-300");
    EXPECT_EQ(java_text(0.1F), "0.1");
    EXPECT_EQ(java_text(static_cast<double>(0.1F)), "0.10000000149011612");
    EXPECT_EQ(java_text(1e-5F), "1.0E-5");
}

TEST(JavaNumber, ReadsBackAsItself)
{
    std::mt19937_64 random{3};
    std::uniform_real_distribution<double> share{0, 1};
    for (int i = 0; i < 20000; ++i) {
        double const value = i % 2 == 0 ? share(random) : std::ldexp(share(random), -static_cast<int>(random() % 60));
        EXPECT_EQ(std::strtod(java_text(value).c_str(), nullptr), value);
    }
}

// The texts are what RanSAP's files hold for blocks of zeros with one, two or three other bytes.
TEST(RansapEntropy, EqualsRansapToTheLastDigit)
{
    std::array<std::uint8_t, 4096> block{};
    EXPECT_EQ(java_text(shannon_share(block)), "-0.0");
    EXPECT_EQ(java_text(mean_part_entropy(block)), "0.0");
    block[5] = 1;
    EXPECT_EQ(java_text(shannon_share(block)), "4.1023312122561166E-4");
    EXPECT_EQ(java_text(mean_part_entropy(block)), "2.880820801083748E-4");
    block[6] = 2;
    EXPECT_EQ(java_text(shannon_share(block)), "8.204554909105497E-4");
    EXPECT_EQ(java_text(mean_part_entropy(block)), "5.759915026815757E-4");
    block[6] = 0;
    block[300] = 2;
    EXPECT_EQ(java_text(mean_part_entropy(block)), "5.761641602167496E-4");
}

TEST(RansapEntropy, KnownDistributions)
{
    std::vector<std::uint8_t> all(512);
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i] = static_cast<std::uint8_t>(i);
    EXPECT_DOUBLE_EQ(shannon_share(all), 1); // 256 values equally often: 8 bits
    EXPECT_DOUBLE_EQ(mean_part_entropy(all), 1);
    EXPECT_EQ(mean_part_entropy({}), 0);
}

TEST(RansapRows, TimeScales)
{
    EXPECT_EQ(split_time(start_ns + 500'000'000, TimeScale::ns).rest, 500'000'000U);
    EXPECT_EQ(split_time(start_ns + 500'000'000, TimeScale::ransap).rest, std::uint64_t{1} << 29);
    EXPECT_EQ(split_time(start_ns + 999'999'999, TimeScale::ransap).rest, (std::uint64_t{1} << 30) - 2);
    EXPECT_EQ(split_time(start_ns + 999'999'999, TimeScale::ransap).seconds, 1'700'000'000U);
}

TEST(RansapRows, LongRequestsAreSplit)
{
    RecordRow row;
    row.kind = RecordKind::read;
    row.time_ns = start_ns + 42;
    row.address = 1000;
    row.length = 4096 * 2 + 1536;
    std::string out;
    EXPECT_EQ(append_ata_lines(out, row, nullptr, ExportFormat::ransap, TimeScale::ns), 3U);
    EXPECT_EQ(out, "1700000000,42,1000,4096\n1700000000,42,1008,4096\n1700000000,42,1016,1536\n");
    out.clear();
    append_ata_lines(out, row, nullptr, ExportFormat::ransmap, TimeScale::ns);
    EXPECT_EQ(out.substr(0, out.find('\n')), "1700000000,        42,1000,4096,-1,0");
    row.kind = RecordKind::write;
    row.length = 4096;
    row.entropy = 0.5F;
    out.clear();
    append_ata_lines(out, row, nullptr, ExportFormat::ransap, TimeScale::ns);
    EXPECT_EQ(out, "1700000000,42,1000,4096,0.5,0.0\n");
    row.kind = RecordKind::flush;
    EXPECT_EQ(append_ata_lines(out, row, nullptr, ExportFormat::ransap, TimeScale::ns), 0U);
}

// With a copy of RanSAP at hand, every number of its files must come out as it went in.
TEST(RansapRows, RealFilesRoundTrip)
{
    char const* const folder = std::getenv("UNDERCROFT_RANSAP_DIR");
    if (folder == nullptr)
        GTEST_SKIP() << "UNDERCROFT_RANSAP_DIR names no copy of RanSAP";
    std::uint64_t lines = 0;
    for (auto const& entry : std::filesystem::recursive_directory_iterator{folder}) {
        if (entry.path().filename() != "ata_write.csv")
            continue;
        std::ifstream in{entry.path()};
        for (std::string line; std::getline(in, line); ++lines) {
            std::istringstream fields{line};
            std::string text;
            for (int column = 0; std::getline(fields, text, ','); ++column) {
                if (column >= 4) {
                    ASSERT_EQ(java_text(std::strtod(text.c_str(), nullptr)), text) << entry.path() << ": " << line;
                }
            }
        }
    }
    EXPECT_GT(lines, 0U);
}

} // namespace
} // namespace undercroft::analysis
