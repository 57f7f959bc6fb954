// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/hdfs/command.hpp"

#include <map>
#include <memory>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "collector/hdfs/uploader.hpp"

namespace undercroft::collector {
namespace {

using Clock = std::chrono::steady_clock;

/// A push ends by itself only when nothing has moved for --give-up seconds.
constexpr std::chrono::hours no_limit{24 * 365};

struct PushArguments {
    std::string store;
    HdfsOptions options;
    double give_up_seconds = 60;
};

int push(PushArguments const& arguments)
{
    fs::path const store = fs::absolute(arguments.store);
    if (!fs::exists(store / "undercroft-store.json")) {
        fmt::print(stderr, "undercroft hdfs push: error: {} is not a store: it has no undercroft-store.json\n",
                   store.string());
        return 1;
    }
    // stdout carries the result, stderr the log.
    spdlog::set_default_logger(spdlog::stderr_color_mt("push"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    auto const start = Clock::now();
    HdfsUploader uploader{store, arguments.options};
    for (StoreFile const& file : list_closed_files(store))
        uploader.on_closed(file.path, 0, file.kind);
    std::size_t const left = uploader.finish(
        std::chrono::milliseconds{static_cast<std::int64_t>(arguments.give_up_seconds * 1000)}, no_limit);
    double const seconds = std::chrono::duration<double>(Clock::now() - start).count();
    HdfsFigures const figures = uploader.figures();
    fmt::print("uploaded {} files, {} bytes in {:.2f} s ({:.1f} MB/s); {} were there already; {} retries\n",
               figures.files_uploaded, figures.bytes_uploaded, seconds,
               static_cast<double>(figures.bytes_uploaded) / 1e6 / seconds, figures.files_found, figures.retries);
    if (left == 0)
        return 0;
    fmt::print(
        stderr,
        "undercroft hdfs push: error: {} files are not uploaded: {}\nThe same command again goes on with them.\n", left,
        figures.last_error.empty() ? "HDFS did not answer in time" : figures.last_error);
    return 1;
}

} // namespace

void add_hdfs_options(CLI::App& command, HdfsOptions& options, std::string const& prefix, std::string const& group)
{
    auto const add = [&](char const* name, auto& value, char const* text) {
        return command.add_option(prefix + name, value, text)->group(group);
    };
    add("user", options.user, "sent as user.name, which a cluster without Kerberos believes")->type_name("NAME");
    add("token-file", options.token_file, "file with a delegation token, instead of a user")->type_name("FILE");
    add("ca-file", options.ca_file, "PEM file of the authorities for swebhdfs (default: the system's)")
        ->type_name("FILE");
    add("replication", options.replication, "copies of each block (default: the cluster's)")->check(CLI::Range(1, 512));
    add("block-mb", options.block_mib, "size of a block in MiB (default: the cluster's)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20));
    add("file-permission", options.file_permission, "of files, octal")->capture_default_str();
    add("folder-permission", options.folder_permission, "of folders, octal")->capture_default_str();
    std::map<std::string, HdfsVerify> const kinds{{"length", HdfsVerify::length}, {"checksum", HdfsVerify::checksum}};
    CLI::Validator by_name = CLI::CheckedTransformer(kinds);
    by_name.description("length|checksum"); // its own words hold the enumeration's bytes
    add("verify", options.verify, "how an uploaded file is compared: length or checksum (default: length)")
        ->transform(by_name)
        ->type_name("HOW");
}

void register_hdfs_commands(CLI::App& root, int& exit_code)
{
    CLI::App* const hdfs = root.add_subcommand("hdfs", "Copy stores to HDFS by WebHDFS");
    hdfs->require_subcommand(1);
    CLI::App* const command = hdfs->add_subcommand("push", "Upload what HDFS does not have yet, then end");
    auto const arguments = std::make_shared<PushArguments>();
    command->add_option("STORE", arguments->store, "folder written by undercroft collect")->required();
    command
        ->add_option("URL", arguments->options.url,
                     "webhdfs://HOST:PORT/FOLDER or swebhdfs://...; several NameNodes: HOST:PORT,HOST:PORT")
        ->required();
    add_hdfs_options(*command, arguments->options, "--", "Options");
    command
        ->add_option("--give-up", arguments->give_up_seconds, "end when no file could be uploaded for so many seconds")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 1e6));
    command->callback([arguments, &exit_code] {
        try {
            exit_code = push(*arguments);
        } catch (std::exception const& error) {
            fmt::print(stderr, "undercroft hdfs push: error: {}\n", error.what());
            exit_code = 1;
        }
    });
}

} // namespace undercroft::collector
