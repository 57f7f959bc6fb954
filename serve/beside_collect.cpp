// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "collector/config/address.hpp"
#include "serve/command.hpp"
#include "serve/options.hpp"

namespace undercroft::serve {
namespace {

class PageBeside final : public collector::Companion {
public:
    PageBeside(SiteOptions const& options, CollectorLink link) : site_{options, std::move(link)}
    {
        std::fputs(greeting(site_).c_str(), stdout);
        std::fflush(stdout);
    }

private:
    Site site_;
};

class PageMaker final : public collector::CompanionMaker {
public:
    void add_options(CLI::App& command) override
    {
        command
            .add_option("--serve,--serve-listen", listen_,
                        "show the store in the browser: TCP address and port, such as 127.0.0.1:8710")
            ->type_name("ADDRESS:PORT")
            ->check(CLI::Validator{collector::check_address, ""})
            ->group("serve");
        add_site_options(command, options_, "--serve-", "serve");
    }

    std::unique_ptr<collector::Companion> start(collector::CompanionPlace const& place) override
    {
        if (listen_.empty())
            return nullptr;
        SiteOptions options = options_;
        options.listen = listen_;
        options.store = place.store;
        return std::make_unique<PageBeside>(
            options, CollectorLink{.command = place.command,
                                   .figures = [&figures = place.figures] { return figures.snapshot(); }});
    }

private:
    std::string listen_;
    SiteOptions options_;
};

} // namespace

std::shared_ptr<collector::CompanionMaker> page_beside_collect()
{
    return std::make_shared<PageMaker>();
}

} // namespace undercroft::serve
