// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A configuration file with any content is taken or refused with a position, and what was taken can be printed and
// read again.
#include <cstdlib>

#include "collector/config/config_file.hpp"
#include "collector/config/quantity.hpp"

namespace {

using namespace undercroft::collector;

struct Command {
    CLI::App app{"", "fuzz"};
    std::string text;
    std::vector<std::string> list;
    std::uint64_t whole = 7;
    double time = 60;
    std::uint64_t size = 32;
    bool flag = false;

    Command()
    {
        app.add_option("--text", text, "a text");
        app.add_option("--list", list, "a list")->group("a");
        app.add_option("--whole", whole, "a number")
            ->capture_default_str()
            ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1000}))
            ->group("a");
        with_unit(app.add_option("--time", time, "a time"), Unit::seconds)->capture_default_str()->group("b");
        with_unit(app.add_option("--size", size, "a size"), Unit::mebibytes)->capture_default_str()->group("b");
        app.add_flag("--flag", flag, "a flag");
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    std::string const text{reinterpret_cast<char const*>(data), size};
    Command first;
    try {
        static_cast<void>(apply_config(first.app, text, "f"));
    } catch (ConfigFileError const& error) {
        if (!std::string{error.what()}.starts_with("f:"))
            std::abort();
        return 0;
    }
    if (first.whole < 1 || first.whole > 1000)
        std::abort();
    Command second;
    static_cast<void>(apply_config(second.app, config_text(first.app), "printed"));
    if (second.text != first.text || second.list != first.list || second.whole != first.whole ||
        second.time != first.time || second.size != first.size || second.flag != first.flag)
        std::abort();
    return 0;
}
