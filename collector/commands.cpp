// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/commands.hpp"

#include <cmath>
#include <memory>

#include "collector/collect.hpp"
#include "collector/config/address.hpp"
#include "collector/config/config_file.hpp"
#include "collector/config/quantity.hpp"
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
    std::uint64_t pending_megabytes = 64;
    long commit_interval_ms = 10;
    std::string acknowledge = "synced";
    double keep_days = 0;
    double keep_gigabytes = 0;
    bool no_compaction = false;
    double hdfs_drain_seconds = 10;
};

std::string check_machine(std::string const& text)
{
    return id_from_hex(text) ? "" : "a machine id is 32 hexadecimal digits, not '" + text + "'";
}

/// Groups are the tables of the configuration file, names its keys (config/keys.hpp).
void add_store_options(CLI::App& command, Arguments& arguments)
{
    command.add_option("--store,--store-folder", arguments.store, "folder of the store; made if it does not exist")
        ->required()
        ->type_name("DIR")
        ->group("store");
    with_unit(command.add_option("--roll-time,--roll-seconds", arguments.roll_seconds,
                                 "slots become Parquet files at the latest after this time"),
              Unit::seconds)
        ->capture_default_str()
        ->check(CLI::Range(0.01, 86400.0))
        ->group("store");
    command.add_option("--roll-rows", arguments.options.store.roll_rows, "... or after this many records")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32))
        ->group("store");
    with_unit(command.add_option("--roll-size,--roll-mb", arguments.roll_megabytes,
                                 "... or when the journal holds this much"),
              Unit::mebibytes)
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{65536}))
        ->group("store");
    with_unit(command.add_option("--content-index,--content-index-mb", arguments.index_megabytes,
                                 "memory for the hashes of stored content blocks, 32 bytes each; when it is full, "
                                 "blocks may be stored again"),
              Unit::mebibytes)
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20))
        ->group("store");
}

void add_durability_options(CLI::App& command, Arguments& arguments)
{
    command
        .add_option(
            "--acknowledge", arguments.acknowledge,
            "when sensors may free their records: 'synced' to disk, or 'written' (synced once a second: a power "
            "cut can lose what came since)")
        ->capture_default_str()
        ->check(CLI::IsMember({"synced", "written"}))
        ->group("store");
    with_unit(command.add_option("--commit-interval,--commit-ms", arguments.commit_interval_ms,
                                 "slots are collected this long and then made durable together"),
              Unit::milliseconds)
        ->capture_default_str()
        ->check(CLI::Range(1L, 10'000L))
        ->group("store");
    with_unit(command.add_option("--pending-memory,--pending-mb", arguments.pending_megabytes,
                                 "memory for slots that wait for the disk; beyond, they stay with the sensors"),
              Unit::mebibytes)
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{65536}))
        ->group("store");
    command
        .add_option("--convert-threads", arguments.options.store.convert_jobs,
                    "threads that turn a journal segment into Parquet, each some of the streams")
        ->capture_default_str()
        ->check(CLI::Range(1U, 64U))
        ->group("store");
}

void add_upkeep_options(CLI::App& command, Arguments& arguments)
{
    with_unit(command.add_option("--keep-time,--keep-days", arguments.keep_days,
                                 "delete files that were written longer ago; 0: never"),
              Unit::days)
        ->capture_default_str()
        ->check(CLI::Range(0.0, 36500.0))
        ->group("store");
    with_unit(command.add_option("--keep-size,--keep-gb", arguments.keep_gigabytes,
                                 "delete the oldest files while the store is larger; 0: never"),
              Unit::gigabytes)
        ->capture_default_str()
        ->check(CLI::Range(0.0, 1e9))
        ->group("store");
    command.add_flag("--no-compaction", arguments.no_compaction, "leave small files as they are")->group("store");
}

void add_network_options(CLI::App& command, Arguments& arguments)
{
    command
        .add_option("--key-file", arguments.options.key_file,
                    "64 hexadecimal digits (one key for all machines), or lines of machine id and key")
        ->required()
        ->type_name("FILE")
        ->group("network");
    command.add_option("--listen", arguments.options.listen, "UDP address and port")
        ->capture_default_str()
        ->type_name("ADDRESS:PORT")
        ->check(CLI::Validator{check_address, ""})
        ->group("network");
    command
        .add_option("--machine,--network-machines", arguments.machines,
                    "take datagrams of this machine only (may be repeated)")
        ->type_name("HEX")
        ->check(CLI::Validator{check_machine, ""})
        ->group("network");
    with_unit(command.add_option("--receive-buffer,--receive-buffer-mb", arguments.receive_buffer_megabytes,
                                 "size of each socket's buffer"),
              Unit::mebibytes)
        ->capture_default_str()
        ->check(CLI::Range(1, 1024))
        ->group("network");
    command
        .add_option("--receive-threads", arguments.options.receive_threads,
                    "each with a socket of its own; 0: half of the processors, at least 2 of them, at most 8")
        ->capture_default_str()
        ->check(CLI::Range(0U, 64U))
        ->group("network");
}

void add_report_options(CLI::App& command, Arguments& arguments)
{
    command.add_flag("--progress", arguments.options.progress, "a line per second even when stderr is no terminal")
        ->group("report");
    command
        .add_option("--metrics-file", arguments.options.metrics_file,
                    "every counter as JSON, replaced each second and at the end")
        ->type_name("FILE")
        ->group("report");
    command
        .add_option("--control-socket", arguments.options.control_socket,
                    "UNIX socket for `undercroft control`, readable by this user only")
        ->type_name("PATH")
        ->group("report");
    command.add_option("--ready-file", arguments.options.ready_file, "made, with the address in it, once listening")
        ->type_name("FILE")
        ->group("report");
    with_unit(command.add_option("--exit-after-idle", arguments.exit_after_idle,
                                 "stop cleanly when there was traffic and then none for this time"),
              Unit::seconds)
        ->check(CLI::Range(0.01, 1e6))
        ->group("report");
}

void add_copy_options(CLI::App& command, Arguments& arguments)
{
    command
        .add_option("--hdfs-url", arguments.options.hdfs.url,
                    "copy closed files there: webhdfs://HOST:PORT/FOLDER or swebhdfs://...; several NameNodes: "
                    "HOST:PORT,HOST:PORT")
        ->group("hdfs");
    with_unit(command.add_option("--hdfs-drain", arguments.hdfs_drain_seconds,
                                 "how long a stop waits for uploads under way; what is left goes with the next start"),
              Unit::seconds)
        ->capture_default_str()
        ->check(CLI::Range(0.0, 86400.0))
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
    options.store.pending_bytes = arguments.pending_megabytes << 20;
    options.store.durability = arguments.acknowledge == "written" ? Durability::written : Durability::synced;
    options.commit_interval = std::chrono::milliseconds{arguments.commit_interval_ms};
    if (arguments.keep_days > 0)
        options.store.upkeep.keep_age = std::chrono::seconds{std::llround(arguments.keep_days * 86400)};
    if (arguments.keep_gigabytes > 0)
        options.store.upkeep.keep_bytes = static_cast<std::uint64_t>(arguments.keep_gigabytes * 1e9);
    options.store.upkeep.compact = !arguments.no_compaction;
    options.hdfs.drain_time = std::chrono::seconds{std::llround(arguments.hdfs_drain_seconds)};
    options.receive_buffer_bytes = arguments.receive_buffer_megabytes << 20;
    for (std::string const& machine : arguments.machines)
        options.machines.insert(*id_from_hex(machine));
    if (arguments.exit_after_idle > 0)
        options.exit_after_idle_s = arguments.exit_after_idle;
    return run_collect(options);
}

} // namespace

void register_collect_commands(CLI::App& root, int& exit_code, std::vector<std::shared_ptr<CompanionMaker>> companions)
{
    auto const arguments = std::make_shared<Arguments>();
    CLI::App* const command =
        root.add_subcommand("collect", "Receive the records of sensors and store each exactly once, as Parquet");
    add_config_option(*command);
    add_store_options(*command, *arguments);
    add_network_options(*command, *arguments);
    add_durability_options(*command, *arguments);
    add_upkeep_options(*command, *arguments);
    add_report_options(*command, *arguments);
    add_copy_options(*command, *arguments);
    add_surroundings_options(*command, arguments->options.surroundings);
    for (auto const& companion : companions)
        companion->add_options(*command);
    arguments->options.companions = std::move(companions);
    add_print_config_option(*command);
    command->footer("Stops cleanly on SIGTERM and SIGINT. Exit code 0: everything is stored; 1: could not start or go "
                    "on; 3: stopped, the rest is in the journal and the next start finishes it.\n"
                    "Example: undercroft collect --store /srv/undercroft --key-file undercroft.key");
    command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
    register_config_commands(root, *command, exit_code);
    register_fsck_command(root, exit_code);
}

} // namespace undercroft::collector
