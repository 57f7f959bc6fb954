// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/http/gate.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <openssl/crypto.h>
#include <openssl/rand.h>

namespace undercroft::serve {
namespace {

constexpr std::string_view cookie_name = "undercroft";
constexpr auto cookie_life = std::chrono::hours{12};
constexpr std::size_t most_cookies = 256;
constexpr unsigned attempts_each_second = 10;

constexpr std::string_view form_policy =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

std::string form(std::string_view note)
{
    std::string page = R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>
<meta name="viewport" content="width=device-width"><style>
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;
background:light-dark(#f7f7f5,#15171a);color:light-dark(#1d2024,#dfe2e6)}
form{width:22rem;max-width:calc(100vw - 3rem)}h1{font-size:1.05rem;font-weight:600;margin:0 0 1rem}
label{display:block;margin-bottom:.35rem}input{font:14px ui-monospace,monospace;width:100%;box-sizing:border-box;padding:.5rem .6rem;
border:1px solid light-dark(#b9bcc2,#454a52);border-radius:3px;background:light-dark(#fff,#1d2025);color:inherit}
button{font:inherit;margin-top:.9rem;padding:.4rem 1.1rem;border:1px solid light-dark(#1f5fae,#6aa5ee);border-radius:3px;
background:light-dark(#1f5fae,#23415f);color:#fff;cursor:pointer}p{margin:.9rem 0 0;color:light-dark(#5d626b,#9aa1ab)}
p[role=alert]{color:light-dark(#a3261b,#ff8d80)}</style></head><body><main><form method="post" action="/sign-in">
<h1>Sign in</h1><label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password" spellcheck="false">
<button type="submit">Open</button>)";
    page += note;
    page += "</form></main></body></html>\n";
    return page;
}

Reply form_reply(unsigned status, std::string_view note = {})
{
    return {.status = status,
            .content_type = "text/html; charset=utf-8",
            .body = form(note),
            .headers = {},
            .content_security_policy = std::string{form_policy}};
}

Reply redirect(std::string const& cookie)
{
    return {.status = 303,
            .content_type = "text/plain",
            .body = {},
            .headers = {{"Location", "/"}, {"Set-Cookie", cookie}}};
}

/// Without the port.
std::string_view name_of(std::string_view host)
{
    if (host.starts_with('['))
        return host.substr(0, std::min(host.find(']') + 1, host.size()));
    return host.substr(0, std::min(host.find(':'), host.size()));
}

} // namespace

std::string random_token()
{
    std::array<unsigned char, 32> bytes{};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error{"no random numbers are to be had"};
    std::string text;
    for (unsigned char const byte : bytes) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

Gate::Gate(GateOptions options, Handler inside) : options_{std::move(options)}, inside_{std::move(inside)}
{
    if (options_.token.size() < least_token_bytes)
        throw std::runtime_error{"the token is too short: at least 32 characters"};
    options_.hosts.insert(options_.hosts.end(), {"localhost", "127.0.0.1", "[::1]"});
}

Reply Gate::operator()(Request const& request)
{
    // A name that an attacker's DNS lets point here must not read anything.
    if (!host_allowed(request.host))
        return error_reply(421, "this server does not go by that name (--host-name)");
    std::string const& path = request.target.path;
    if (request.method == Method::post && !same_origin(request))
        return error_reply(403, "a request from another page");
    if (path == "/sign-in" && request.method == Method::post)
        return sign_in(request);
    if (!is_known(request)) {
        if (path.starts_with("/api/"))
            return error_reply(401, "sign in first");
        return form_reply(path == "/" ? 200 : 401);
    }
    if (path == "/sign-out" && request.method == Method::post)
        return sign_out(request);
    return inside_(request);
}

bool Gate::host_allowed(std::string const& host) const
{
    return std::ranges::find(options_.hosts, name_of(host)) != options_.hosts.end();
}

/// Browsers send Origin with every POST; programs have no cookie that could be abused.
bool Gate::same_origin(Request const& request) const
{
    if (request.origin.empty())
        return request.cookie.empty();
    std::size_t const scheme = request.origin.find("://");
    return scheme != std::string::npos && request.origin.substr(scheme + 3) == request.host;
}

bool Gate::is_token(std::string_view text) const
{
    return text.size() == options_.token.size() && CRYPTO_memcmp(text.data(), options_.token.data(), text.size()) == 0;
}

bool Gate::is_known(Request const& request)
{
    constexpr std::string_view bearer = "Bearer ";
    std::string_view const authorization = request.authorization;
    if (authorization.starts_with(bearer) && is_token(authorization.substr(bearer.size())))
        return true;
    std::scoped_lock const lock{mutex_};
    auto const found = cookies_.find(find_cookie(request.cookie, cookie_name));
    return found != cookies_.end() && Clock::now() < found->second;
}

bool Gate::may_try()
{
    std::scoped_lock const lock{mutex_};
    auto const now = Clock::now();
    if (now - attempts_since_ >= std::chrono::seconds{1}) {
        attempts_since_ = now;
        attempts_ = 0;
    }
    return ++attempts_ <= attempts_each_second;
}

Reply Gate::sign_in(Request const& request)
{
    if (!may_try())
        return form_reply(429, R"(<p role="alert">Too many attempts. Wait a second.</p>)");
    auto const fields = parse_form(request.body);
    auto const token = fields ? fields->find("token") : decltype(fields->end()){};
    if (!fields || token == fields->end() || !is_token(token->second))
        return form_reply(401, R"(<p role="alert">That is not the token.</p>)");
    std::string const id = random_token();
    std::scoped_lock const lock{mutex_};
    auto const now = Clock::now();
    std::erase_if(cookies_, [&](auto const& cookie) { return cookie.second <= now; });
    if (cookies_.size() == most_cookies)
        cookies_.erase(std::ranges::min_element(cookies_, {}, [](auto const& cookie) { return cookie.second; }));
    cookies_.emplace(id, now + cookie_life);
    return redirect(std::string{cookie_name} + "=" + id + "; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200" +
                    (options_.secure_cookie ? "; Secure" : ""));
}

Reply Gate::sign_out(Request const& request)
{
    std::scoped_lock const lock{mutex_};
    if (auto const found = cookies_.find(find_cookie(request.cookie, cookie_name)); found != cookies_.end())
        cookies_.erase(found);
    return redirect(std::string{cookie_name} + "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
}

} // namespace undercroft::serve
