// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/options.hpp"

#include <fmt/format.h>

#include "collector/control/client.hpp"

namespace undercroft::serve {

void add_site_options(CLI::App& command, SiteOptions& options, std::string const& prefix, std::string const& group)
{
    command
        .add_option(prefix + "token-file", options.token_file,
                    "its first line is what who signs in must know, at least 32 characters; default: a new token each "
                    "time, which is printed")
        ->type_name("FILE")
        ->group(group);
    command
        .add_flag(prefix + "plain-http", options.plain_http, "allow an address that others reach, without encryption")
        ->group(group);
    command
        .add_option(prefix + "host-name", options.host_names,
                    "name that a reverse proxy lets browsers use (may be repeated)")
        ->type_name("NAME")
        ->group(group);
    command
        .add_flag(prefix + "secure-cookie", options.secure_cookie, "browsers come by HTTPS, through a reverse proxy")
        ->group(group);
    command
        .add_option(prefix + "index", options.index_folder,
                    "where the counts that make zooming quick are kept; default: STORE/page-index")
        ->type_name("DIR")
        ->group(group);
    command
        .add_option(prefix + "layouts", options.layouts,
                    "folder of partition tables, MACHINE-SOURCE.json, as `sfdisk -J` prints them")
        ->type_name("DIR")
        ->group(group);
    command.add_option(prefix + "row-cache-mb", options.row_cache_mib, "memory for records in MiB")
        ->capture_default_str()
        ->check(CLI::Range(std::size_t{64}, std::size_t{1} << 20))
        ->group(group);
    command.add_option(prefix + "tile-cache-mb", options.tile_cache_mib, "memory for tiles in MiB")
        ->capture_default_str()
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
        ->group(group);
}

CollectorLink link_to(std::string const& socket)
{
    if (socket.empty())
        return {};
    return {.command = [socket](collector::ControlCall const& call) { return collector::ask_collector(socket, call); },
            .figures = nullptr};
}

std::string greeting(Site const& site)
{
    std::string text = fmt::format("the page is at {}\n", site.url());
    if (auto const token = site.new_token())
        text += fmt::format("token: {}\n", *token);
    return text;
}

} // namespace undercroft::serve
