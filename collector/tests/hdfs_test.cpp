// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The parts of the upload that need no HDFS. With a real one: tests/hdfs_witness.py.
#include <gtest/gtest.h>

#include <fcntl.h>

#include <fstream>

#include "collector/hdfs/options.hpp"
#include "collector/hdfs/reply.hpp"
#include "collector/hdfs/spool.hpp"
#include "collector/tests/store_folder.hpp"

namespace undercroft::collector {
namespace {

TEST(HdfsUrl, Parts)
{
    auto const url = parse_hdfs_url("swebhdfs://nn1.example:9871,[::1]:50470/data/undercroft/");
    ASSERT_TRUE(url);
    EXPECT_TRUE(url->tls);
    EXPECT_EQ(url->name_nodes, (std::vector<std::string>{"nn1.example:9871", "[::1]:50470"}));
    EXPECT_EQ(url->folder, "/data/undercroft");
    EXPECT_EQ(parse_hdfs_url("webhdfs://a:1")->folder, "");
}

TEST(HdfsUrl, Refused)
{
    for (char const* const text :
         {"", "hdfs://a:1/", "http://a:1/", "webhdfs://", "webhdfs://a", "webhdfs://:1", "webhdfs://a:0",
          "webhdfs://a:65536", "webhdfs://a:1,/x", "webhdfs://u@a:1/", "webhdfs://a:1/x\ny", "webhdfs://a b:1/"})
        EXPECT_FALSE(parse_hdfs_url(text)) << text;
}

TEST(HdfsUrl, Encoding)
{
    EXPECT_EQ(percent_encode("/machine=0a/a b?&#%\xC3\xBC"), "/machine=0a/a%20b%3F%26%23%25%C3%BC");
}

// The answers are the examples of Hadoop's WebHDFS documentation.
TEST(HdfsReply, DocumentedAnswers)
{
    auto const remote = parse_remote_exception(
        R"({"RemoteException":{"exception":"FileNotFoundException","javaClassName":"java.io.FileNotFoundException",
           "message":"File does not exist: /foo/a.patch"}})");
    ASSERT_TRUE(remote);
    EXPECT_EQ(remote->exception, "FileNotFoundException");
    EXPECT_EQ(remote->message, "File does not exist: /foo/a.patch");
    EXPECT_EQ(parse_boolean(R"({"boolean": true})"), true);
    EXPECT_EQ(parse_boolean(R"({"boolean": false})"), false);
    auto const status = parse_file_status(
        R"({"FileStatus":{"accessTime":0,"blockSize":134217728,"group":"supergroup","length":24930,
           "modificationTime":1320173277227,"owner":"webuser","pathSuffix":"","permission":"644","replication":3,
           "snapshotEnabled":true,"type":"FILE"}})");
    ASSERT_TRUE(status);
    EXPECT_FALSE(status->directory);
    EXPECT_EQ(status->bytes, 24930U);
    EXPECT_EQ(status->block_bytes, 134217728U);
    auto const checksum = parse_file_checksum(
        R"({"FileChecksum":{"algorithm":"MD5-of-1MD5-of-512CRC32",
           "bytes":"00000200000000000000000196c60e1f0de4db2d4d5ef3f9be2e6d7d00000000","length":28}})");
    ASSERT_TRUE(checksum);
    EXPECT_FALSE(checksum->castagnoli);
    EXPECT_EQ(checksum->bytes_per_crc, 512U);
    EXPECT_EQ(static_cast<unsigned char>(checksum->md5.front()), 0x96);
    EXPECT_EQ(static_cast<unsigned char>(checksum->md5.back()), 0x7D);
}

TEST(HdfsReply, AnythingElseIsNoAnswer)
{
    for (std::string const& body :
         {std::string{}, std::string{"{"}, std::string{"[]"}, std::string{R"({"FileStatus":[]})"},
          std::string{R"({"FileStatus":{"type":"FILE","length":-1,"blockSize":1024}})"},
          std::string{R"({"FileStatus":{"type":"FILE","length":1.5,"blockSize":1024}})"},
          std::string{R"({"FileStatus":{"type":"FILE","length":18446744073709551615,"blockSize":1024}})"},
          std::string{R"({"FileStatus":{"type":"SYMLINK","length":1,"blockSize":1024}})"},
          std::string{R"({"FileStatus":{"type":7,"length":1,"blockSize":1024}})"},
          std::string{R"({"FileStatus":{"type":"FILE","length":1,"blockSize":1}})"}, std::string(60000, '['),
          std::string(max_hdfs_reply_bytes + 1, ' ') + R"({"boolean":true})"}) {
        EXPECT_FALSE(parse_file_status(body)) << body.substr(0, 80);
        EXPECT_FALSE(parse_boolean(body)) << body.substr(0, 80);
        EXPECT_FALSE(parse_remote_exception(body)) << body.substr(0, 80);
    }
    EXPECT_FALSE(parse_boolean(R"({"boolean":1})"));
    for (char const* const bytes : {"", "00", "zz", "00000000000000000000000196c60e1f0de4db2d4d5ef3f9be2e6d7d",
                                    "00000001000000000000000196c60e1f0de4db2d4d5ef3f9be2e6d7d",
                                    "ffffffff000000000000000196c60e1f0de4db2d4d5ef3f9be2e6d7d"})
        EXPECT_FALSE(parse_file_checksum(
            std::string{R"({"FileChecksum":{"algorithm":"MD5-of-0MD5-of-512CRC32C","bytes":")"} + bytes + R"("}})"));
}

TEST(HdfsReply, MessagesAreOnePrintableLine)
{
    auto const remote = parse_remote_exception(
        R"({"RemoteException":{"exception":"Bad\u001b[2J","message":"first\u0007 line\nsecond"}})");
    ASSERT_TRUE(remote);
    EXPECT_EQ(remote->exception, "Bad?[2J");
    EXPECT_EQ(remote->message, "first? line");
}

TEST(HdfsReply, Redirects)
{
    EXPECT_TRUE(is_acceptable_redirect("http://dn:9864/webhdfs/v1/a?op=CREATE", false));
    EXPECT_TRUE(is_acceptable_redirect("https://dn:9865/webhdfs/v1/a?op=CREATE", true));
    for (char const* const location :
         {"", "http://dn:9864/webhdfs/v1/a", "ftp://dn/webhdfs/v1/a", "https://dn:9865/other", "https:///webhdfs/v1/a",
          "https://user@dn:1/webhdfs/v1/a", "https://dn:1/webhdfs/v1/a b", "https://dn:1/webhdfs/v1/\xC3\xBC"})
        EXPECT_FALSE(is_acceptable_redirect(location, true)) << location;
}

class Spool : public ::testing::Test {
protected:
    void SetUp() override { fs::create_directories(store_ / "content/00"); }

    void write(std::string const& path, std::string const& text) const
    {
        fs::create_directories((store_ / path).parent_path());
        std::ofstream{store_ / path} << text;
    }
    [[nodiscard]] FileVersion version(std::string const& path) const { return version_of(store_ / path); }
    [[nodiscard]] fs::path log() const
    {
        for (auto const& entry : fs::directory_iterator{store_ / "hdfs"})
            if (entry.path().extension() == ".log")
                return entry.path();
        return {};
    }

    test::StoreFolder folder_;
    fs::path store_ = folder_.path();
};

TEST_F(Spool, RemembersWhatIsUploaded)
{
    write("a.parquet", "aaaa");
    write("b.parquet", "bb");
    {
        HdfsSpool spool{store_, "webhdfs://a:1/x"};
        EXPECT_FALSE(spool.has("a.parquet", version("a.parquet")));
        spool.note_uploaded("a.parquet", version("a.parquet"));
        spool.note_uploaded("b.parquet", version("b.parquet"));
        EXPECT_THROW((HdfsSpool{store_, "webhdfs://a:1/x"}), StoreError); // in use
        HdfsSpool const other{store_, "webhdfs://a:1/y"};
        EXPECT_FALSE(other.has_any("a.parquet"));
    }
    fs::remove(store_ / "b.parquet");
    HdfsSpool const spool{store_, "webhdfs://a:1/x"};
    EXPECT_TRUE(spool.has("a.parquet", version("a.parquet")));
    EXPECT_FALSE(spool.has_any("b.parquet")); // no longer there, so nobody will ask
    write("a.parquet", "aaaaa");
    EXPECT_FALSE(spool.has("a.parquet", version("a.parquet")));
}

TEST_F(Spool, DamagedLinesAreLeftOut)
{
    for (char const* const path : {"a.parquet", "b.parquet", "c.parquet"})
        write(path, "text");
    {
        HdfsSpool spool{store_, "webhdfs://a:1/x"};
        for (char const* const path : {"a.parquet", "b.parquet", "c.parquet"})
            spool.note_uploaded(path, version(path));
    }
    std::string text(fs::file_size(log()), '\0');
    std::ifstream{log()}.read(text.data(), static_cast<std::streamsize>(text.size()));
    text[text.find("b.parquet")] = 'x'; // a flipped byte
    text.resize(text.size() - 3);       // a torn end: c
    std::ofstream{log()} << text;
    HdfsSpool const spool{store_, "webhdfs://a:1/x"};
    EXPECT_TRUE(spool.has_any("a.parquet"));
    EXPECT_FALSE(spool.has_any("b.parquet"));
    EXPECT_FALSE(spool.has_any("c.parquet"));
}

TEST_F(Spool, ReplacedFilesOutliveARestart)
{
    write("by.parquet", "text");
    {
        HdfsSpool spool{store_, "webhdfs://a:1/x"};
        spool.note_replaced({"old1.parquet", "old2.parquet"}, "by.parquet");
        spool.note_deleted("old1.parquet");
    }
    HdfsSpool const spool{store_, "webhdfs://a:1/x"};
    auto const replacements = spool.replacements();
    ASSERT_EQ(replacements.size(), 1U);
    EXPECT_EQ(replacements[0].old, "old2.parquet");
    EXPECT_EQ(replacements[0].by, "by.parquet");
}

TEST_F(Spool, ContentIsListedBeforeRecords)
{
    std::string const day = "machine=0/boot=1/stream=storage/date=2026-01-01/";
    write(day + "2-3.parquet", "");
    write(day + "0-1.parquet", "");
    write(day + "4-5.parquet.part", "");
    write("content/ff/00000000000000000001.parquet", "");
    write("content/00/00000000000000000002.parquet", "");
    write("machine=0/boot=1/hello.json", "");
    write("undercroft-store.json", "");
    write("journal/00000000000000000003.journal", "");
    write("hdfs/0.log", "");
    std::vector<std::string> paths;
    for (StoreFile const& file : list_closed_files(store_))
        paths.push_back(file.path);
    EXPECT_EQ(paths, (std::vector<std::string>{"undercroft-store.json", "machine=0/boot=1/hello.json",
                                               "content/ff/00000000000000000001.parquet",
                                               "content/00/00000000000000000002.parquet", day + "0-1.parquet",
                                               day + "2-3.parquet"}));
}

} // namespace
} // namespace undercroft::collector
