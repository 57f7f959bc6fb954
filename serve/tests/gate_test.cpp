// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "serve/http/gate.hpp"

namespace undercroft::serve {
namespace {

std::string const token(40, 'k');

class GateTest : public testing::Test {
protected:
    Request request(std::string const& path, Method method = Method::get) const
    {
        Request made;
        made.method = method;
        made.target.path = path;
        made.host = "localhost:8710";
        if (method == Method::post)
            made.origin = "http://localhost:8710";
        return made;
    }
    /// The cookie that the token buys.
    std::string sign_in()
    {
        Request in = request("/sign-in", Method::post);
        in.body = "token=" + token;
        Reply const reply = gate(in);
        EXPECT_EQ(reply.status, 303U);
        for (auto const& [name, value] : reply.headers)
            if (name == "Set-Cookie") {
                EXPECT_NE(value.find("HttpOnly"), std::string::npos);
                EXPECT_NE(value.find("SameSite=Strict"), std::string::npos);
                return value.substr(0, value.find(';'));
            }
        return {};
    }
    bool inside(Request const& asked) { return gate(asked).body == "secret"; }

    Gate gate{{.token = token, .hosts = {"watch.example"}}, [](Request const&) { return Reply{.body = "secret"}; }};
};

TEST_F(GateTest, StrangersGetNothing)
{
    for (char const* path : {"/", "/index.html", "/assets/x.js", "/api/state", "/sign-out"})
        EXPECT_FALSE(inside(request(path))) << path;
    EXPECT_EQ(gate(request("/api/state")).status, 401U);
    EXPECT_EQ(gate(request("/")).body.find("Undercroft"), std::string::npos);
}

TEST_F(GateTest, BearerTokens)
{
    Request asked = request("/api/state");
    asked.authorization = "Bearer " + token;
    EXPECT_TRUE(inside(asked));
    for (std::string const& wrong :
         {"Bearer " + token + "k", "Bearer " + std::string(40, 'x'), std::string{"Bearer "}, "Basic " + token}) {
        asked.authorization = wrong;
        EXPECT_FALSE(inside(asked)) << wrong;
    }
}

TEST_F(GateTest, CookiesStandForTheToken)
{
    Request asked = request("/api/state");
    asked.cookie = sign_in();
    EXPECT_TRUE(inside(asked));
    Request out = request("/sign-out", Method::post);
    out.cookie = asked.cookie;
    EXPECT_EQ(gate(out).status, 303U);
    EXPECT_FALSE(inside(asked));
}

TEST_F(GateTest, OtherPagesCannotPost)
{
    Request asked = request("/api/control", Method::post);
    asked.cookie = sign_in();
    EXPECT_TRUE(inside(asked));
    for (char const* origin : {"http://evil.example", "null", "http://localhost:8711", "localhost:8710", ""}) {
        asked.origin = origin;
        EXPECT_EQ(gate(asked).status, 403U) << origin;
    }
}

TEST_F(GateTest, OtherNamesAreRefused)
{
    Request asked = request("/api/state");
    asked.authorization = "Bearer " + token;
    for (char const* host :
         {"evil.example", "evil.example:8710", "", "localhost.evil.example", "[::1", "127.0.0.1.evil.example"}) {
        asked.host = host;
        EXPECT_EQ(gate(asked).status, 421U) << host;
    }
    for (char const* host : {"127.0.0.1", "127.0.0.1:1", "[::1]:8710", "watch.example"}) {
        asked.host = host;
        EXPECT_TRUE(inside(asked)) << host;
    }
}

TEST_F(GateTest, GuessingIsSlow)
{
    unsigned refused = 0;
    for (int i = 0; i < 40; ++i) {
        Request in = request("/sign-in", Method::post);
        in.body = "token=guess" + std::to_string(i);
        refused += gate(in).status == 429 ? 1 : 0;
    }
    EXPECT_GE(refused, 20U);
}

TEST(Gate, WantsARealToken)
{
    EXPECT_THROW((Gate{{.token = "short", .hosts = {}}, {}}), std::runtime_error);
    EXPECT_NE(random_token(), random_token());
    EXPECT_EQ(random_token().size(), 64U);
}

} // namespace
} // namespace undercroft::serve
