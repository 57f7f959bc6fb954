// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/commands.hpp"

#include <cmath>
#include <memory>

#include "collector/collect.hpp"
#include "collector/hdfs/command.hpp"

namespace undercroft::collector {
namespace {

struct Arguments {
    CollectOptions options;
    std::string store;
    std::vector<std::string> machines;
    double roll_seconds = 60;
    double exit_after_idle = 0;
    std::uint64_t roll_megabytes = 256;
    std::uint64_t index_megabytes = 1024;
    int receive_buffer_megabytes = 32;
};

std::string check_machine(std::string const& text)
{
    return id_from_hex(text) ? "" : "a machine id is 32 hexadecimal digits, not '" + text + "'";
}

void add_store_options(CLI::App& command, Arguments& arguments)
{
    command.add_option("--store", arguments.store, "folder of the store; made if it does not exist")
        ->required()
        ->type_name("DIR");
    command
        .add_option("--roll-seconds", arguments.roll_seconds,
                    "slots become Parquet files at the latest after this time")
        ->capture_default_str()
        ->check(CLI::Range(0.01, 86400.0));
    command.add_option("--roll-rows", arguments.options.store.roll_rows, "... or after this many records")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
    command.add_option("--roll-mb", arguments.roll_megabytes, "... or when the journal holds this many MiB")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{65536}));
    command
        .add_option("--content-index-mb", arguments.index_megabytes,
                    "memory for the hashes of stored content blocks, 32 bytes each; when it is full, blocks may be "
                    "stored again")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20));
}

void add_network_options(CLI::App& command, Arguments& arguments)
{
    command
        .add_option("--key-file", arguments.options.key_file,
                    "64 hexadecimal digits (one key for all machines), or lines of machine id and key")
        ->required()
        ->type_name("FILE");
    command.add_option("--listen", arguments.options.listen, "UDP address and port")
        ->capture_default_str()
        ->type_name("ADDRESS:PORT");
    command.add_option("--machine", arguments.machines, "take datagrams of this machine only (may be repeated)")
        ->type_name("HEX")
        ->check(CLI::Validator{check_machine, ""});
    command.add_option("--receive-buffer-mb", arguments.receive_buffer_megabytes, "size of the socket's buffer")
        ->capture_default_str()
        ->check(CLI::Range(1, 1024));
}

void add_report_options(CLI::App& command, Arguments& arguments)
{
    command.add_flag("--progress", arguments.options.progress, "a line per second even when stderr is no terminal");
    command
        .add_option("--metrics-file", arguments.options.metrics_file,
                    "every counter as JSON, replaced each second and at the end")
        ->type_name("FILE");
    command.add_option("--ready-file", arguments.options.ready_file, "made, with the address in it, once listening")
        ->type_name("FILE");
    command
        .add_option("--exit-after-idle", arguments.exit_after_idle,
                    "stop cleanly when there was traffic and then none for this many seconds")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.01, 1e6));
}

void add_copy_options(CLI::App& command, Arguments& arguments)
{
    command
        .add_option("--hdfs-url", arguments.options.hdfs.url,
                    "copy closed files there: webhdfs://HOST:PORT/FOLDER or swebhdfs://...; several NameNodes: "
                    "HOST:PORT,HOST:PORT")
        ->group("hdfs");
    add_hdfs_options(command, arguments.options.hdfs, "--hdfs-", "hdfs");
}

int run(Arguments const& arguments)
{
    CollectOptions options = arguments.options;
    options.store.folder = std::filesystem::absolute(arguments.store);
    options.store.roll_time = std::chrono::milliseconds{std::llround(arguments.roll_seconds * 1000)};
    options.store.roll_bytes = arguments.roll_megabytes << 20;
    options.store.content_index_bytes = arguments.index_megabytes << 20;
    options.receive_buffer_bytes = arguments.receive_buffer_megabytes << 20;
    for (std::string const& machine : arguments.machines)
        options.machines.insert(*id_from_hex(machine));
    if (arguments.exit_after_idle > 0)
        options.exit_after_idle_s = arguments.exit_after_idle;
    return run_collect(options);
}

} // namespace

void register_collect_commands(CLI::App& root, int& exit_code)
{
    auto const arguments = std::make_shared<Arguments>();
    CLI::App* const command =
        root.add_subcommand("collect", "Receive the records of sensors and store each exactly once, as Parquet");
    add_store_options(*command, *arguments);
    add_network_options(*command, *arguments);
    add_report_options(*command, *arguments);
    add_copy_options(*command, *arguments);
    command->footer("Stops cleanly on SIGTERM and SIGINT. Exit code 0: everything is stored; 1: could not start or go "
                    "on; 3: stopped, the rest is in the journal and the next start finishes it.\n"
                    "Example: undercroft collect --store /srv/undercroft --key-file undercroft.key");
    command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

} // namespace undercroft::collector
