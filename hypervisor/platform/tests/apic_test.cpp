// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/apic.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "hypervisor/platform/apic_page.hpp"

namespace undercroft::platform {
namespace {

using Action = Ipi::Action;
using Kind = StartupAction::Kind;

CpuSet cpus(std::vector<unsigned> const& list)
{
    CpuSet set;
    for (unsigned const cpu : list)
        set.add(cpu);
    return set;
}

class Router : public testing::Test {
protected:
    Router()
    {
        // APIC ids as on a package with gaps, one above 255.
        for (auto [cpu, id] : {std::pair{0U, 0U}, {1U, 1U}, {2U, 16U}, {3U, 0x120U}})
            EXPECT_TRUE(router_->add_cpu(cpu, id));
        EXPECT_FALSE(router_->add_cpu(max_cpus, 7));
    }
    std::unique_ptr<IpiRouter> router_ = std::make_unique<IpiRouter>();
    Ipi xapic(std::uint32_t low, std::uint32_t high = 0, unsigned source = 0)
    {
        return router_->judge(source, decode_xapic_icr(low, high));
    }
    Ipi x2apic(std::uint64_t value, unsigned source = 0) { return router_->judge(source, decode_x2apic_icr(value)); }
};

TEST_F(Router, OrdinaryInterruptsPass)
{
    for (std::uint32_t const low : {0x000000fdU, 0x000c08fdU /* others, logical */, 0x00000100U, 0x00000200U /* SMI */,
                                    0x00000400U /* NMI */, 0x000c0400U, 0x00000700U})
        EXPECT_EQ(Action::pass, xapic(low, 0x01000000).action) << std::hex << low;
}

TEST_F(Router, LinuxSequenceToOneCpu)
{
    // wakeup_secondary_cpu_via_init: INIT level assert, INIT level de-assert, two SIPIs to vector 0x99. memtest86+
    // (start_cpu in smp.c) sends the same four.
    Ipi const init = xapic(0x0000c500, 0x10000000);
    EXPECT_EQ(Action::init, init.action);
    EXPECT_EQ(cpus({2}), init.targets);
    EXPECT_EQ(Action::swallow, xapic(0x00008500, 0x10000000).action);
    for (int i = 0; i < 2; ++i) {
        Ipi const startup = xapic(0x00000699, 0x10000000);
        EXPECT_EQ(Action::startup, startup.action);
        EXPECT_EQ(0x99, startup.vector);
        EXPECT_EQ(cpus({2}), startup.targets);
    }
}

TEST_F(Router, OvmfBroadcastExcludesTheSender)
{
    // SendInitSipiSipiAllExcludingSelf: 0x000c4500, then 0x000c4687 twice.
    Ipi const init = xapic(0x000c4500, 0, 1);
    EXPECT_EQ(Action::init, init.action);
    EXPECT_EQ(cpus({0, 2, 3}), init.targets);
    Ipi const startup = xapic(0x000c4687, 0, 1);
    EXPECT_EQ(Action::startup, startup.action);
    EXPECT_EQ(0x87, startup.vector);
    EXPECT_EQ(cpus({0, 2, 3}), startup.targets);
    EXPECT_EQ(cpus({1, 2, 3}), x2apic(0x000c4500, 0).targets);
}

TEST_F(Router, EdgeTriggeredInitWithoutLevelIsAnInit)
{
    EXPECT_EQ(Action::init, xapic(0x00000500, 0x01000000).action);
}

TEST_F(Router, PhysicalDestinations)
{
    EXPECT_EQ(cpus({1}), xapic(0x4500, 0x01000000).targets);
    EXPECT_EQ(cpus({0}), xapic(0x4500, 0).targets) << "itself, named by id";
    EXPECT_EQ(cpus({0, 1, 2, 3}), xapic(0x4500, 0xff000000).targets);
    EXPECT_EQ(cpus({3}), x2apic(0x0000012000004500).targets);
    EXPECT_EQ(cpus({0, 1, 2, 3}), x2apic(0xffffffff00004500).targets);
    EXPECT_EQ(Action::swallow, xapic(0x4500, 0x20000000).action) << "no such CPU: 0x120 is not 0x20";
    EXPECT_EQ(Action::swallow, x2apic(0x000000ff00004500).action) << "0xff is no broadcast in x2APIC mode";
}

TEST_F(Router, InvalidShorthandsDoNothing)
{
    EXPECT_EQ(Action::swallow, xapic(0x00044500).action);
    EXPECT_EQ(Action::swallow, xapic(0x00084699).action);
}

TEST_F(Router, LogicalFlat)
{
    router_->set_logical(0, 0x01000000, 0xffffffff);
    router_->set_logical(1, 0x02000000, 0xffffffff);
    router_->set_logical(2, 0x04000000, 0xffffffff);
    EXPECT_EQ(cpus({1, 2}), xapic(0x4d00, 0x06000000).targets);
    EXPECT_EQ(Action::swallow, xapic(0x4d00, 0x08000000).action);
    EXPECT_EQ(cpus({0, 1, 2, 3}), xapic(0x4d00, 0xff000000).targets);
}

TEST_F(Router, LogicalCluster)
{
    router_->set_logical(0, 0x11000000, 0x0fffffff);
    router_->set_logical(1, 0x12000000, 0x0fffffff);
    router_->set_logical(2, 0x21000000, 0x0fffffff);
    EXPECT_EQ(cpus({0, 1}), xapic(0x4d00, 0x13000000).targets);
    EXPECT_EQ(cpus({2}), xapic(0x4d00, 0x21000000).targets);
    EXPECT_EQ(cpus({0, 2}), xapic(0x4d00, 0xf1000000).targets) << "cluster 15 is all clusters";
}

TEST_F(Router, LogicalX2ApicFollowsFromTheId)
{
    EXPECT_EQ(cpus({0, 1}), x2apic(0x0000000300004d00).targets);
    EXPECT_EQ(cpus({2}), x2apic(0x0001000100004d00).targets);
    EXPECT_EQ(cpus({3}), x2apic(0x0012000100004d00).targets);
    EXPECT_EQ(Action::swallow, x2apic(0x0012000200004d00).action);
}

TEST(StartupMailbox, InitDeassertTwoSipis)
{
    StartupMailbox mailbox;
    EXPECT_EQ(Kind::none, mailbox.take().kind);
    mailbox.post_init();
    EXPECT_TRUE(mailbox.needs_attention());
    EXPECT_EQ(Kind::wait, mailbox.take().kind);
    EXPECT_EQ(Kind::none, mailbox.take().kind);
    EXPECT_TRUE(mailbox.needs_attention()) << "still waiting";
    EXPECT_TRUE(mailbox.post_startup(0x99));
    StartupAction const start = mailbox.take();
    EXPECT_EQ(Kind::start, start.kind);
    EXPECT_EQ(0x99, start.vector);
    EXPECT_FALSE(mailbox.needs_attention());
    EXPECT_FALSE(mailbox.post_startup(0x99)) << "the second SIPI finds it running";
    EXPECT_EQ(Kind::none, mailbox.take().kind);
}

TEST(StartupMailbox, SipiBeforeTheTargetNoticedInitIsKept)
{
    StartupMailbox mailbox;
    EXPECT_FALSE(mailbox.post_startup(0x10)) << "running: ignored";
    mailbox.post_init();
    EXPECT_TRUE(mailbox.post_startup(0x11));
    EXPECT_FALSE(mailbox.post_startup(0x12)) << "the first one counts";
    StartupAction const start = mailbox.take();
    EXPECT_EQ(Kind::start, start.kind);
    EXPECT_EQ(0x11, start.vector);
}

TEST(StartupMailbox, NewInitVoidsAnOlderSipi)
{
    StartupMailbox mailbox;
    mailbox.post_init();
    EXPECT_TRUE(mailbox.post_startup(0x11));
    mailbox.post_init();
    EXPECT_EQ(Kind::wait, mailbox.take().kind);
    EXPECT_EQ(Kind::none, mailbox.take().kind);
}

TEST(StartupMailbox, ParkedAndBootstrapProcessors)
{
    StartupMailbox parked;
    parked.set_waiting();
    EXPECT_TRUE(parked.post_startup(0));
    EXPECT_EQ(Kind::start, parked.take().kind);
    StartupMailbox bootstrap;
    bootstrap.set_bootstrap(true);
    bootstrap.post_init();
    EXPECT_FALSE(bootstrap.post_startup(0x20));
    EXPECT_EQ(Kind::reset_vector, bootstrap.take().kind);
    EXPECT_EQ(Kind::none, bootstrap.take().kind);
}

TEST(StartupMailbox, RacingSendersNeverLoseAStart)
{
    for (int round = 0; round < 300; ++round) {
        StartupMailbox mailbox;
        std::thread sender{[&] {
            mailbox.post_init();
            mailbox.post_startup(0x42);
            mailbox.post_startup(0x42);
        }};
        StartupAction action;
        while (action.kind != Kind::start) {
            action = mailbox.take();
            ASSERT_TRUE(action.kind != Kind::start || action.vector == 0x42);
        }
        sender.join();
        EXPECT_FALSE(mailbox.needs_attention());
    }
}

/// One CPU's APIC: remembers registers; writes to ICR low are kept apart.
class ApicModel final : public core::MmioBus {
public:
    std::array<std::uint32_t, 1024> registers{};
    std::vector<std::uint32_t> sent;
    std::uint64_t load(std::uint64_t offset, unsigned) override { return registers[offset / 4]; }
    void store(std::uint64_t offset, unsigned width, std::uint64_t value) override
    {
        EXPECT_LE(width, 4U);
        if (offset == 0x300)
            sent.push_back(static_cast<std::uint32_t>(value));
        else
            registers[offset / 4] = static_cast<std::uint32_t>(value);
    }
};

class Sink final : public IpiSink {
public:
    std::vector<Ipi> delivered;
    void deliver(unsigned source, Ipi const& ipi) override
    {
        EXPECT_EQ(1U, source);
        delivered.push_back(ipi);
    }
};

class Page : public Router {
protected:
    ApicModel apic_;
    Sink sink_;
    ApicPage page_{apic_, *router_, sink_, [] { return 1U; }};
};

TEST_F(Page, OnlyInitAndSipiStopHere)
{
    page_.write(0x310, 4, 0x10000000);
    page_.write(0x300, 4, 0x000000fd);
    EXPECT_EQ((std::vector<std::uint32_t>{0xfd}), apic_.sent);
    page_.write(0x300, 4, 0x4500);
    page_.write(0x300, 4, 0x4699);
    page_.write(0xb0, 4, 0);
    EXPECT_EQ(1U, apic_.sent.size());
    ASSERT_EQ(2U, sink_.delivered.size());
    EXPECT_EQ(Action::init, sink_.delivered[0].action);
    EXPECT_EQ(cpus({2}), sink_.delivered[0].targets);
    EXPECT_EQ(Action::startup, sink_.delivered[1].action);
    EXPECT_EQ(0x10000000U, page_.read(0x310, 4));
}

TEST_F(Page, LogicalIdsAreFollowed)
{
    page_.write(0xe0, 4, 0xffffffff);
    page_.write(0xd0, 4, 0x08000000);
    EXPECT_EQ(cpus({1}), xapic(0x4d00, 0x08000000).targets);
}

TEST_F(Page, OddWidthsCannotSmuggleAnInit)
{
    apic_.registers[0x310 / 4] = 0x10000000;
    page_.write(0x300, 8, 0x4500);
    page_.write(0x2fc, 8, std::uint64_t{0x4500} << 32);
    EXPECT_EQ(2U, sink_.delivered.size());
    page_.write(0x300, 1, 0x00);
    page_.write(0x301, 1, 0x45);
    page_.write(0x2ff, 4, 0x00450000);
    page_.write(0x2fe, 8, 0x45000000);
    EXPECT_TRUE(apic_.sent.empty());
    EXPECT_EQ(2U, sink_.delivered.size());
}

} // namespace
} // namespace undercroft::platform
