// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/site.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "collector/config/address.hpp"
#include "serve/assets.hpp"

namespace undercroft::serve {
namespace {

constexpr std::string_view page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// First line of the file, without spaces around it.
std::string read_token(std::string const& file)
{
    std::ifstream in{file};
    std::string token;
    std::getline(in, token);
    std::erase_if(token, [](char c) { return c == ' ' || c == '\r' || c == '\t'; });
    if (!in && token.empty())
        throw std::runtime_error{file + ": no token can be read"};
    if (token.size() < least_token_bytes)
        throw std::runtime_error{file + ": the token is too short: at least 32 characters, such as `openssl rand -hex "
                                        "32` prints"};
    return token;
}

collector::Address address_in(SiteOptions const& options)
{
    auto const address = collector::parse_address(options.listen);
    if (!address)
        throw std::runtime_error{"--listen: " + address.error()};
    if (!address->loopback && !options.plain_http)
        throw std::runtime_error{"the page would be reachable from the network without encryption. Let a reverse proxy "
                                 "with HTTPS speak to a loopback address, or say --plain-http"};
    return *address;
}

std::filesystem::path index_folder(SiteOptions const& options)
{
    std::filesystem::path const folder =
        options.index_folder.empty() ? options.store / "page-index" : options.index_folder;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error || ::access(folder.c_str(), W_OK) != 0)
        throw std::runtime_error{folder.string() + ": cannot be written; name another folder with --index"};
    return folder;
}

GateOptions gate_options(SiteOptions const& options, std::optional<std::string> const& token)
{
    GateOptions gate{.token = token ? *token : read_token(options.token_file),
                     .hosts = options.host_names,
                     .secure_cookie = options.secure_cookie};
    if (auto const address = collector::parse_address(options.listen))
        gate.hosts.push_back(address->host.find(':') == std::string::npos ? address->host : "[" + address->host + "]");
    return gate;
}

Reply asset_reply(std::string const& path)
{
    auto const all = assets();
    auto const found = std::ranges::find(all, path == "/" ? std::string_view{"/index.html"} : path, &Asset::path);
    if (found == all.end())
        return error_reply(404, "there is nothing of that name");
    Reply reply{.content_type = std::string{found->content_type},
                .body = std::string{found->bytes},
                .headers = {},
                .content_security_policy = std::string{page_policy}};
    if (path.starts_with("/assets/")) // their names hold a hash of what is in them
        reply.headers.emplace_back("Cache-Control", "private, max-age=31536000, immutable");
    return reply;
}

} // namespace

Site::Site(SiteOptions const& options, CollectorLink link)
    : new_token_{options.token_file.empty() ? std::optional{random_token()} : std::nullopt},
      index_{{.store = options.store, .folder = index_folder(options), .row_cache_bytes = options.row_cache_mib << 20}},
      live_{index_},
      api_{index_,
           {.link = std::move(link), .layouts = options.layouts, .tile_cache_bytes = options.tile_cache_mib << 20}},
      gate_{gate_options(options, new_token_),
            [this](Request const& request) {
                if (request.target.path.starts_with("/api/"))
                    return api_(request);
                if (request.method == Method::post)
                    return error_reply(405, "only GET and HEAD");
                return asset_reply(request.target.path);
            }},
      host_{address_in(options).host},
      server_{host_, address_in(options).port, [this](Request const& request) { return gate_(request); }}
{
}

std::string Site::url() const
{
    bool const v6 = host_.find(':') != std::string::npos;
    return "http://" + (v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(server_.port()) + "/";
}

} // namespace undercroft::serve
