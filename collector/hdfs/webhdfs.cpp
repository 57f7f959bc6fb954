// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/webhdfs.hpp"

#include <fcntl.h>

#include <array>
#include <cctype>
#include <cstdint>

#include <fmt/format.h>

namespace undercroft::collector {
namespace {

constexpr std::size_t max_token_bytes = 4096;

HdfsUrl url_of(HdfsOptions const& options)
{
    if (std::string const problem = hdfs_options_problem(options); !problem.empty())
        throw HdfsError{problem};
    return *parse_hdfs_url(options.url);
}

[[noreturn]] void fail(char const* operation, std::string const& path, std::string const& why)
{
    throw HdfsError{fmt::format("{} {}: {}", operation, path.empty() ? "/" : path, why)};
}

/// What a reply that is no success says.
std::string reason(HttpReply const& reply)
{
    if (auto const remote = parse_remote_exception(reply.body))
        return fmt::format("{}: {} (HTTP {})", remote->exception, remote->message, reply.status);
    return fmt::format("HTTP status {}, and an answer that is not of WebHDFS", reply.status);
}

std::string read_token(std::string const& path)
{
    std::string token(max_token_bytes, '\0');
    try {
        File const file{path, O_RDONLY};
        token.resize(file.read_at(0, std::span{reinterpret_cast<std::uint8_t*>(token.data()), token.size()}));
    } catch (StoreError const& error) {
        throw HdfsError{std::string{"the delegation token: "} + error.what()};
    }
    while (!token.empty() && std::isspace(static_cast<unsigned char>(token.back())) != 0)
        token.pop_back();
    if (token.empty() || token.size() == max_token_bytes)
        throw HdfsError{"the delegation token in " + path + " is empty or too long"};
    return token;
}

} // namespace

WebHdfs::WebHdfs(HdfsOptions options, std::atomic<bool> const& stop)
    : options_{std::move(options)}, url_{url_of(options_)}, http_{{.ca_file = options_.ca_file,
                                                                   .connect_timeout = options_.connect_timeout,
                                                                   .stall_timeout = options_.stall_timeout},
                                                                  stop}
{
}

std::string WebHdfs::identity() const
{
    if (!options_.token_file.empty())
        return "&delegation=" + percent_encode(read_token(options_.token_file));
    return options_.user.empty() ? std::string{} : "&user.name=" + percent_encode(options_.user);
}

/// Null, with the reason in `problem`: another NameNode may do better.
std::optional<HttpReply> WebHdfs::ask_one(HttpMethod method, std::string const& target, std::string& problem)
{
    try {
        std::string const& name_node = url_.name_nodes[active_];
        HttpReply reply =
            http_.send(method, fmt::format("{}://{}/webhdfs/v1{}", url_.tls ? "https" : "http", name_node, target));
        auto const remote = reply.status == 403 ? parse_remote_exception(reply.body) : std::nullopt;
        if (!remote || remote->exception != "StandbyException")
            return reply;
        problem = fmt::format("{} is a standby NameNode", name_node);
    } catch (HttpError const& error) {
        problem = error.what();
    }
    return {};
}

HttpReply WebHdfs::ask(HttpMethod method, char const* operation, std::string const& path, Parameters const& parameters)
{
    std::string const full = url_.folder + (path.empty() ? "" : "/") + path;
    std::string const target =
        fmt::format("{}?op={}{}{}", full.empty() ? "/" : percent_encode(full), operation, identity(), parameters);
    std::string problem;
    for (std::size_t tries = 0; tries < url_.name_nodes.size(); ++tries) {
        if (auto reply = ask_one(method, target, problem))
            return std::move(*reply);
        active_ = (active_ + 1) % url_.name_nodes.size();
    }
    fail(operation, path, problem);
}

std::optional<HdfsFileStatus> WebHdfs::status(std::string const& path)
{
    HttpReply const reply = ask(HttpMethod::get, "GETFILESTATUS", path, "");
    if (reply.status == 404) {
        auto const remote = parse_remote_exception(reply.body);
        if (remote && remote->exception == "FileNotFoundException")
            return {};
    }
    auto const status = reply.status == 200 ? parse_file_status(reply.body) : std::nullopt;
    if (!status)
        fail("GETFILESTATUS", path, reason(reply));
    return status;
}

void WebHdfs::expect_true(char const* operation, std::string const& path, HttpReply const& reply) const
{
    auto const answer = reply.status == 200 ? parse_boolean(reply.body) : std::nullopt;
    if (!answer)
        fail(operation, path, reason(reply));
    if (!*answer)
        fail(operation, path, "HDFS says that it was not done");
}

void WebHdfs::make_folder(std::string const& path)
{
    std::string const permission =
        options_.folder_permission.empty() ? "" : "&permission=" + options_.folder_permission;
    expect_true("MKDIRS", path, ask(HttpMethod::put, "MKDIRS", path, permission));
}

std::string WebHdfs::redirect_of(char const* operation, std::string const& path, HttpReply const& reply) const
{
    if (reply.status != 307)
        fail(operation, path, reason(reply));
    if (!is_acceptable_redirect(reply.location, url_.tls))
        fail(operation, path, "the NameNode redirects to something that is not WebHDFS");
    return reply.location;
}

void WebHdfs::create(std::string const& path, File const& local, std::uint64_t bytes)
{
    Parameters parameters = "&overwrite=true";
    if (!options_.file_permission.empty())
        parameters += "&permission=" + options_.file_permission;
    if (options_.replication != 0)
        parameters += fmt::format("&replication={}", options_.replication);
    if (options_.block_mib != 0)
        parameters += fmt::format("&blocksize={}", options_.block_mib << 20);
    std::string const data_node = redirect_of("CREATE", path, ask(HttpMethod::put, "CREATE", path, parameters));
    try {
        HttpReply const reply = http_.send(HttpMethod::put, data_node, &local, bytes);
        if (reply.status != 201)
            fail("CREATE", path, reason(reply));
    } catch (HttpError const& error) {
        fail("CREATE", path, std::string{"DataNode: "} + error.what());
    }
}

void WebHdfs::rename(std::string const& from, std::string const& to)
{
    // With options the answer has no body: done, or an exception.
    HttpReply const reply = ask(HttpMethod::put, "RENAME", from,
                                "&renameoptions=OVERWRITE&destination=" + percent_encode(url_.folder + "/" + to));
    if (reply.status != 200)
        fail("RENAME", from, reason(reply));
}

void WebHdfs::remove(std::string const& path)
{
    HttpReply const reply = ask(HttpMethod::remove, "DELETE", path, "");
    // False: it was not there.
    if (reply.status != 200 || !parse_boolean(reply.body))
        fail("DELETE", path, reason(reply));
}

HdfsChecksum WebHdfs::checksum(std::string const& path)
{
    std::string const data_node =
        redirect_of("GETFILECHECKSUM", path, ask(HttpMethod::get, "GETFILECHECKSUM", path, ""));
    HttpReply reply;
    try {
        reply = http_.send(HttpMethod::get, data_node);
    } catch (HttpError const& error) {
        fail("GETFILECHECKSUM", path, std::string{"DataNode: "} + error.what());
    }
    auto const checksum = reply.status == 200 ? parse_file_checksum(reply.body) : std::nullopt;
    if (!checksum)
        fail("GETFILECHECKSUM", path,
             reply.status == 200 ? "a kind of checksum that is not known here" : reason(reply));
    return *checksum;
}

} // namespace undercroft::collector
