// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "program/command_tree.hpp"

int main(int argc, char** argv)
{
    int exit_code = 0;
    auto const root = undercroft::program::command_tree(exit_code);
    try {
        root->parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        return root->exit(error);
    }
    return exit_code;
}
