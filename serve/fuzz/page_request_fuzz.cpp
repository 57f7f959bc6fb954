// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A stranger's request target, cookies and form, through the gate.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "serve/http/gate.hpp"

namespace {

using namespace undercroft::serve;

Reply inside(Request const&)
{
    std::abort(); // nobody who does not know the token gets here
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    static Gate gate{{.token = "0123456789abcdef0123456789abcdef-not-to-be-guessed", .hosts = {}}, inside};
    std::string_view text{reinterpret_cast<char const*>(data), size};
    auto const line = [&text] {
        std::size_t const end = std::min(text.find('\n'), text.size());
        std::string const taken{text.substr(0, end)};
        text.remove_prefix(std::min(end + 1, text.size()));
        return taken;
    };
    auto target = parse_target(line());
    if (!target)
        return 0;
    if (!target->path.starts_with('/') || target->parameters.size() > most_parameters)
        std::abort();
    for (auto const& [name, value] : target->parameters)
        static_cast<void>(target->number(name, INT64_MIN, INT64_MAX));
    Request request;
    request.method = size % 2 == 0 ? Method::get : Method::post;
    request.target = std::move(*target);
    request.host = size % 3 == 0 ? line() : "localhost";
    request.origin = size % 5 == 0 ? line() : "http://" + request.host;
    request.cookie = line();
    request.authorization = line();
    request.body = text;
    static_cast<void>(gate(request));
    return 0;
}
