// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "serve/http/target.hpp"

namespace undercroft::serve {
namespace {

TEST(Target, PathAndParameters)
{
    auto const target = parse_target("/api/tile?a=1&b=two%20words&c=x+y");
    ASSERT_TRUE(target);
    EXPECT_EQ(target->path, "/api/tile");
    EXPECT_EQ(target->text("b"), "two words");
    EXPECT_EQ(target->text("c"), "x y");
    EXPECT_EQ(target->number("a", 0, 10), 1);
    EXPECT_FALSE(target->number("a", 2, 10));
    EXPECT_FALSE(target->number("b", 0, 10));
    EXPECT_FALSE(target->number("d", 0, 10));
}

TEST(Target, WholeRangeOfNumbers)
{
    auto const target = parse_target("/?a=9223372036854775807&b=9223372036854775808&c=-1&d=+1&e=1x&f=");
    ASSERT_TRUE(target);
    EXPECT_EQ(target->number("a", 0, INT64_MAX), INT64_MAX);
    for (char const* name : {"b", "d", "e", "f"})
        EXPECT_FALSE(target->number(name, INT64_MIN, INT64_MAX)) << name;
    EXPECT_EQ(target->number("c", -1, 0), -1);
}

TEST(Target, RefusesWhatThePageNeverSends)
{
    for (char const* text : {"", "api", "*", "http://x/", "/a/../b", "/..", "/.", "/%2e%2e/x", "/a%", "/a%2", "/a%zz",
                             "/a%00", "/%0d%0a", "/\\x", "/?a", "/?=1", "/?a=1&a=2", "/?a=%", "/\x80"})
        EXPECT_FALSE(parse_target(text)) << text;
    EXPECT_FALSE(parse_target("/" + std::string(most_target_bytes, 'a')));
    std::string many = "/?";
    for (std::size_t i = 0; i <= most_parameters; ++i)
        many += "p" + std::to_string(i) + "=1&";
    EXPECT_FALSE(parse_target(many));
}

TEST(Target, Cookies)
{
    EXPECT_EQ(find_cookie("a=1; undercroft=xyz; b=2", "undercroft"), "xyz");
    EXPECT_EQ(find_cookie("xundercroft=1", "undercroft"), "");
    EXPECT_EQ(find_cookie("undercroft", "undercroft"), "");
    EXPECT_EQ(find_cookie(";;= ;", "undercroft"), "");
}

} // namespace
} // namespace undercroft::serve
