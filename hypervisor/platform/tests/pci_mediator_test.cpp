// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/platform/pci_mediator.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "hypervisor/platform/tests/config_space_model.hpp"

namespace undercroft::platform {
namespace {

using wire::CounterId;

constexpr std::uint64_t ecam_base = 0xb0000000;
constexpr Bdf ahci_bdf{0, 31, 2}, port_bdf{0, 2, 0}, nic_bdf{1, 0, 0};

class Events final : public PciEvents {
public:
    std::vector<std::string> seen;
    std::vector<std::set<std::uint64_t>> pages;
    PciMediator* mediator = nullptr;
    ConfigSpaceModel* model = nullptr;

    std::uint64_t taken_port = 0; ///< a BAR that would cover it may not move there

    bool bar_may_move(Bdf, unsigned, BarRange const& to) override
    {
        return to.kind != Bar::Kind::io || taken_port < to.base || taken_port >= to.base + to.size;
    }
    void bar_about_to_move(Bdf f, unsigned bar, BarRange const& to) override { note("before", f, bar, to); }
    void bar_moved(Bdf f, unsigned bar, BarRange const&, BarRange const& to) override { note("moved", f, bar, to); }
    void ecam_pages_changed() override
    {
        std::set<std::uint64_t> now;
        for (Gpa const page : mediator->ecam_pages())
            now.insert(page.value);
        pages.push_back(now);
    }

private:
    void note(char const* what, Bdf f, unsigned bar, BarRange const& to)
    {
        char text[100];
        std::snprintf(text, sizeof(text), "%s %02x:%02x.%x bar%u %llx%s", what, f.bus, f.device, f.function, bar,
                      static_cast<unsigned long long>(to.base), to.enabled ? "" : " off");
        seen.emplace_back(text);
    }
};

/// q35: AHCI on the root bus, the card behind a root port, an NVMe-like function with a 64-bit BAR.
class Mediator : public testing::Test {
protected:
    Mediator()
    {
        auto& host = model_.add(0);
        host.identity(0x8086, 0x29c0, 0x060000);
        host.set(0x60, 8, ecam_base | 1, ~std::uint64_t{0});
        model_.add(31).identity(0x8086, 0x2918, 0x060100, 0x80);
        ahci_ = &model_.add(31, 2);
        ahci_->identity(0x8086, 0x2922, class_ahci, 0x80);
        ahci_->set(4, 2, 0x0007, 0x0547);
        ahci_->io_bar(4, 0x6040, 32);
        ahci_->bar32(5, 0x81085000, 0x1000);
        wide_ = &model_.add(6);
        wide_->identity(0x1b36, 0x0010, 0x010802);
        wide_->set(4, 2, 0x0006, 0x0547);
        wide_->bar64(0, 0x8000000000, 0x4000);
        port_ = &model_.add(2);
        port_->bridge(1, 1);
        port_->set(4, 2, 0x0007, 0x0547);
        port_->set(0x20, 4, 0xfeb0fea0, 0xfff0fff0); // fea00000 ... febfffff
        port_->set(0x06, 2, 0x0010);
        port_->set(0x34, 1, 0x54);
        port_->set(0x54, 2, 0x8810);    // PCI Express, then power management at 88h
        port_->set(0x64, 2, 0, 0xffff); // Link Control
        port_->set(0x6c, 2, 0, 0xffff); // Slot Control
        port_->set(0x88, 2, 0x0001);
        port_->set(0x8c, 2, 0, 0x8103); // PMCSR
        nic_ = &ConfigSpaceModel::add_behind(*port_, 0);
        nic_->identity(0x8086, 0x10d3, 0x020000);
        nic_->set(4, 2, 0x0006, 0x0547);
        nic_->bar32(0, 0xfeac0000, 0x20000);
        other_ = &model_.add(5);
        other_->identity(0x1af4, 0x1000, 0x020000);
        other_->bar32(0, 0xfe000000, 0x1000);
    }
    void start()
    {
        mediator_->add_ecam(ecam_);
        EXPECT_TRUE(mediator_->hide(nic_bdf));
        EXPECT_TRUE(mediator_->watch(ahci_bdf));
        EXPECT_TRUE(mediator_->watch({0, 6, 0}));
        mediator_->start();
        events_.mediator = mediator_.get();
        events_.model = &model_;
    }
    /// As a guest: CF8h, then CFCh.
    std::uint32_t port_read(Bdf f, unsigned offset, unsigned width)
    {
        select(f, offset);
        return mediator_->port_read(static_cast<std::uint16_t>(0xcfc + offset % 4), width);
    }
    void port_write(Bdf f, unsigned offset, unsigned width, std::uint32_t value)
    {
        select(f, offset);
        mediator_->port_write(static_cast<std::uint16_t>(0xcfc + offset % 4), width, value);
    }
    void select(Bdf f, unsigned offset)
    {
        mediator_->port_write(0xcf8, 4, 0x80000000U | f.bus << 16 | f.device << 11 | f.function << 8 | (offset & 0xfc));
    }
    std::uint64_t ecam_read(Bdf f, unsigned offset, unsigned width)
    {
        return mediator_->ecam_regions()[0].read(ecam_offset(f) + offset, width);
    }
    void ecam_write(Bdf f, unsigned offset, unsigned width, std::uint64_t value)
    {
        mediator_->ecam_regions()[0].write(ecam_offset(f) + offset, width, value);
    }
    std::uint64_t count(CounterId id) { return counters_.get(id); }
    std::vector<std::string> take_events()
    {
        auto seen = events_.seen;
        events_.seen.clear();
        return seen;
    }
    using Texts = std::vector<std::string>;

    ConfigSpaceModel model_;
    ModelFunction *ahci_, *wide_, *port_, *nic_, *other_;
    PortPciConfig ports_{model_};
    EcamPciConfig ecam_{model_, {ecam_base, 0, 0, 255}};
    core::Counters counters_;
    Events events_;
    std::unique_ptr<PciMediator> mediator_ = std::make_unique<PciMediator>(ports_, events_, counters_);
};

TEST_F(Mediator, OtherFunctionsPassUnchanged)
{
    start();
    EXPECT_EQ(0x10001af4U, port_read({0, 5, 0}, 0, 4));
    EXPECT_EQ(0x1af4U, ecam_read({0, 5, 0}, 0, 2));
    EXPECT_EQ(0x1000'1af4U, ecam_read({0, 5, 0}, 0, 8) & 0xffffffff);
    port_write({0, 5, 0}, 4, 2, 0x0007);
    EXPECT_EQ(0x0007U, other_->get(4, 2));
    ecam_write({0, 5, 0}, 0x10, 4, 0xfe100000);
    EXPECT_EQ(0xfe100000U, other_->get(0x10, 4));
    EXPECT_EQ(0xffffffffU, port_read({0, 9, 0}, 0, 4));
    EXPECT_EQ(Texts{}, take_events());
    EXPECT_EQ(0U, count(CounterId::pci_hidden_accesses));
}

TEST_F(Mediator, TheCardIsAbsentByEitherMechanism)
{
    start();
    unsigned const writes = nic_->writes;
    EXPECT_EQ(0xffffffffU, port_read(nic_bdf, 0, 4));
    EXPECT_EQ(0xffU, port_read(nic_bdf, 0x0e, 1));
    EXPECT_EQ(0xffffU, ecam_read(nic_bdf, 0, 2));
    EXPECT_EQ(~std::uint64_t{0}, ecam_read(nic_bdf, 0x100, 8));
    port_write(nic_bdf, 4, 2, 0);
    ecam_write(nic_bdf, 0x10, 4, 0);
    ecam_write(nic_bdf, 4, 8, 0);
    EXPECT_EQ(writes, nic_->writes);
    EXPECT_EQ(0x0006U, nic_->get(4, 2));
    EXPECT_EQ(9U, count(CounterId::pci_hidden_accesses)) << "an 8-byte access is two";
}

TEST_F(Mediator, FunctionZeroWithNeighboursLeavesAPlaceholder)
{
    nic_->set(0x0e, 1, 0x80);
    ConfigSpaceModel::add_behind(*port_, 0, 1).identity(0x8086, 0x1533, 0x020000);
    start();
    EXPECT_EQ(0xfffe8086U, port_read(nic_bdf, 0, 4));
    EXPECT_EQ(0x80U, port_read(nic_bdf, 0x0e, 1)) << "other functions are still looked for";
    EXPECT_EQ(0xff000000U, port_read(nic_bdf, 8, 4)) << "a class that no driver claims";
    for (unsigned offset = 0x10; offset < 0x100; offset += 4)
        EXPECT_EQ(0U, port_read(nic_bdf, offset, 4));
    EXPECT_EQ(0x15338086U, port_read({1, 0, 1}, 0, 4));
}

/// PCI IDE Controller Specification 1.0: the fixed ports of a channel in compatibility mode, its BARs in native mode.
class IdeBars : public Mediator {
protected:
    static constexpr Bdf ide_bdf{0, 1, 1};
    void start_with(std::uint32_t interface, std::uint8_t writable)
    {
        ide_ = &model_.add(1, 1);
        model_.add(1).identity(0x8086, 0x7000, 0x060100, 0x80);
        ide_->identity(0x8086, 0x7010, 0x010100 | interface);
        ide_->set(9, 1, interface, writable);
        ide_->set(4, 2, 0x0005, 0x0547);
        ide_->io_bar(4, 0xc000, 16);
        EXPECT_TRUE(mediator_->watch(ide_bdf));
        start();
    }
    std::string ranges()
    {
        std::string text;
        for (BarRange const& range : mediator_->bars(ide_bdf)->ranges()) {
            char one[40];
            std::snprintf(one, sizeof(one), "%llx+%llx%s ", static_cast<unsigned long long>(range.base),
                          static_cast<unsigned long long>(range.size), range.enabled ? "" : "off");
            text += one;
        }
        return text;
    }
    ModelFunction* ide_ = nullptr;
};

TEST_F(IdeBars, CompatibilityMode)
{
    start_with(0x80, 0);
    EXPECT_EQ(ranges(), "1f0+8 3f4+4 170+8 374+4 c000+10 ");
    port_write(ide_bdf, 4, 2, 4);
    EXPECT_EQ(take_events(),
              (Texts{"moved 00:01.1 bar0 1f0 off", "moved 00:01.1 bar1 3f4 off", "moved 00:01.1 bar2 170 off",
                     "moved 00:01.1 bar3 374 off", "moved 00:01.1 bar4 c000 off"}));
    port_write(ide_bdf, 0x20, 4, 0xc101);
    port_write(ide_bdf, 4, 2, 5);
    Texts const on = take_events();
    ASSERT_EQ(on.size(), 10U);
    EXPECT_EQ(on[0], "before 00:01.1 bar0 1f0");
    EXPECT_EQ(on[4], "before 00:01.1 bar4 c100");
    EXPECT_EQ(on[9], "moved 00:01.1 bar4 c100");
    port_write(ide_bdf, 9, 1, 0x85); // not changeable
    EXPECT_EQ(Texts{}, take_events());
}

TEST_F(IdeBars, OneChannelGoesNative)
{
    start_with(0x8a, 0x05);
    ide_->io_bar(2, 0xd000, 8);
    ide_->io_bar(3, 0xd010, 4);
    ecam_write(ide_bdf, 9, 1, 0x8e);
    EXPECT_EQ(take_events(), (Texts{"before 00:01.1 bar2 d000", "before 00:01.1 bar3 d010", "moved 00:01.1 bar2 d000",
                                    "moved 00:01.1 bar3 d010"}));
    EXPECT_EQ(ranges(), "1f0+8 3f4+4 d000+8 d010+4 c000+10 ");
}

TEST_F(IdeBars, PortsThatAreTakenAreRefused)
{
    start_with(0x80, 0);
    events_.taken_port = 0x1f0;
    port_write(ide_bdf, 0x20, 4, 0x1f1);
    EXPECT_EQ(ide_->get(0x20, 4), 0xc001U);
    EXPECT_EQ(Texts{}, take_events());
    EXPECT_EQ(1U, count(CounterId::pci_writes_refused));
    port_write(ahci_bdf, 0x20, 4, 0x1e1); // 32 ports from 1e0h
    EXPECT_EQ(ahci_->get(0x20, 4), 0x6041U);
    EXPECT_EQ(2U, count(CounterId::pci_writes_refused));
}

TEST_F(Mediator, TheLatchBehavesAsHardware)
{
    model_.address = 0x80001234 & 0xfffffffc;
    start();
    EXPECT_EQ(0x80001234U, mediator_->port_read(0xcf8, 4)) << "firmware's last address is kept";
    mediator_->port_write(0xcf8, 4, 0xffffffff);
    EXPECT_EQ(0x80fffffcU, mediator_->port_read(0xcf8, 4)) << "reserved bits as the hardware has them";
    // The sensor's own accesses do not disturb the guest's address.
    select({0, 5, 0}, 0);
    (void)ports_.read(ahci_bdf, 0, 4);
    EXPECT_EQ(0x1af4U, mediator_->port_read(0xcfc, 2));
    EXPECT_EQ(0x1000U, mediator_->port_read(0xcfe, 2));
    EXPECT_EQ(0x10U, mediator_->port_read(0xcff, 1));
    mediator_->port_write(0xcf8, 4, 0x00002800); // not enabled
    EXPECT_EQ(0xffffffffU, mediator_->port_read(0xcfc, 4));
}

TEST_F(Mediator, ByteAccessesToTheAddressPortsPass)
{
    start();
    select({0, 5, 0}, 0);
    mediator_->port_write(0xcf9, 1, 0x06);
    mediator_->port_write(0xcfa, 2, 0x1234);
    EXPECT_EQ((std::vector<std::uint32_t>{0xcf906, 0xcfa34}), model_.byte_writes_below_data);
    EXPECT_EQ(0x11U, mediator_->port_read(0xcf9, 1));
    EXPECT_EQ(0x1af4U, mediator_->port_read(0xcfc, 2)) << "the address has not changed";
}

TEST_F(Mediator, AccessesAcrossTheBoundaryAreSplit)
{
    start();
    select(nic_bdf, 4);
    mediator_->port_write(0xcfa, 4, 0x00000000); // upper half would reach the card's command register
    EXPECT_EQ(0x0006U, nic_->get(4, 2));
    EXPECT_EQ(0xffff1111U, mediator_->port_read(0xcfa, 4));
}

TEST_F(Mediator, AmdsExtendedAddressBitsDoNotUncoverTheCard)
{
    start();
    mediator_->port_write(0xcf8, 4, 0x8f000000U | 1 << 16);
    EXPECT_EQ(0xffffffffU, mediator_->port_read(0xcfc, 4));
}

TEST_F(Mediator, LinuxSizingIsNoMove)
{
    start();
    // __pci_read_base: decoding off, all ones, read, restore, decoding on.
    for (bool const by_ports : {true, false}) {
        auto const write = [&](unsigned offset, unsigned width, std::uint32_t value) {
            by_ports ? port_write(ahci_bdf, offset, width, value) : ecam_write(ahci_bdf, offset, width, value);
        };
        write(4, 2, 0x0004);
        for (unsigned bar : {0x20U, 0x24U}) {
            std::uint32_t const saved = ahci_->get(bar, 4);
            write(bar, 4, 0xffffffff);
            EXPECT_EQ(bar == 0x24 ? 0xfffff000U : 0x0000ffe1U, port_read(ahci_bdf, bar, 4))
                << "the guest sees the size";
            write(bar, 4, saved);
        }
        write(4, 2, 0x0007);
        EXPECT_EQ((Texts{"moved 00:1f.2 bar4 6040 off", "moved 00:1f.2 bar5 81085000 off", "before 00:1f.2 bar4 6040",
                         "before 00:1f.2 bar5 81085000", "moved 00:1f.2 bar4 6040", "moved 00:1f.2 bar5 81085000"}),
                  take_events());
    }
    EXPECT_EQ(0U, count(CounterId::bar_moves));
}

TEST_F(Mediator, SizingWithDecodingOnIsNoMoveEither)
{
    start();
    port_write(ahci_bdf, 0x24, 4, 0xffffffff);
    port_write(ahci_bdf, 0x24, 4, 0x81085000);
    ecam_write({0, 6, 0}, 0x10, 4, 0xffffffff);
    EXPECT_EQ((Texts{"before 00:06.0 bar0 80ffffc000", "moved 00:06.0 bar0 80ffffc000"}), take_events())
        << "half of a 64-bit BAR: hardware does decode there";
    ecam_write({0, 6, 0}, 0x14, 4, 0xffffffff);
    ecam_write({0, 6, 0}, 0x10, 4, 4);
    ecam_write({0, 6, 0}, 0x14, 4, 0x80);
    EXPECT_EQ((Texts{"before 00:06.0 bar0 8000000000", "moved 00:06.0 bar0 8000000000"}), take_events());
    port_write(ahci_bdf, 0x20, 4, 0xffffffff);
    EXPECT_EQ((Texts{"before 00:1f.2 bar4 ffe0"}), take_events()) << "these ports do work: they must be watched";
    port_write(ahci_bdf, 0x20, 4, 0x6041);
    EXPECT_EQ(Texts{}, take_events());
}

TEST_F(Mediator, MovesAreReportedBeforeAndAfter)
{
    start();
    port_write(ahci_bdf, 0x24, 4, 0x90000000);
    EXPECT_EQ((Texts{"before 00:1f.2 bar5 90000000", "moved 00:1f.2 bar5 90000000"}), take_events());
    EXPECT_EQ(0x90000000U, ahci_->get(0x24, 4));
    EXPECT_EQ(1U, count(CounterId::bar_moves));
    port_write(ahci_bdf, 0x26, 2, 0xa000); // half a register
    EXPECT_EQ((Texts{"before 00:1f.2 bar5 a0000000", "moved 00:1f.2 bar5 a0000000"}), take_events());
    // With decoding off only the result counts.
    ecam_write(ahci_bdf, 4, 2, 0);
    take_events();
    ecam_write(ahci_bdf, 0x24, 4, 0xb0000000);
    ecam_write(ahci_bdf, 0x24, 4, 0xc0000000);
    EXPECT_EQ(Texts{}, take_events());
    ecam_write(ahci_bdf, 4, 2, 2);
    EXPECT_EQ((Texts{"before 00:1f.2 bar5 c0000000", "moved 00:1f.2 bar5 c0000000"}), take_events());
    EXPECT_EQ(3U, count(CounterId::bar_moves));
    ASSERT_NE(nullptr, mediator_->bars(ahci_bdf));
    EXPECT_EQ(2U, mediator_->bars(ahci_bdf)->ranges().size());
    EXPECT_EQ(nullptr, mediator_->bars(nic_bdf));
}

TEST_F(Mediator, WideBarsMoveHalfByHalfAsHardwareDecodes)
{
    start();
    ecam_write({0, 6, 0}, 0x14, 4, 0x81);
    ecam_write({0, 6, 0}, 0x10, 4, 0x00100000);
    EXPECT_EQ((Texts{"before 00:06.0 bar0 8100000000", "moved 00:06.0 bar0 8100000000",
                     "before 00:06.0 bar0 8100100000", "moved 00:06.0 bar0 8100100000"}),
              take_events());
    ecam_write({0, 6, 0}, 0x10, 8, 0x8000000000);
    EXPECT_EQ(0x8000000000U, std::uint64_t{wide_->get(0x14, 4)} << 32 | (wide_->get(0x10, 4) & ~0xfU));
}

TEST_F(Mediator, MsiAndOtherRegistersOfStoragePass)
{
    ahci_->set(0x80, 8, 0x7005, ~std::uint64_t{0});
    start();
    port_write(ahci_bdf, 0x82, 2, 0x0001);
    ecam_write(ahci_bdf, 0x84, 4, 0xfee00000);
    EXPECT_EQ(0x00017005U, ahci_->get(0x80, 4));
    EXPECT_EQ(0xfee00000U, ahci_->get(0x84, 4));
    EXPECT_EQ(Texts{}, take_events());
}

TEST_F(Mediator, EcamBaseCannotBeMoved)
{
    start();
    port_write({}, 0x60, 4, 0xe0000001);
    port_write({}, 0x61, 1, 0xff);
    ecam_write({}, 0x60, 8, 0);
    EXPECT_EQ(ecam_base | 1, model_.find(0, 0)->get(0x60, 4));
    EXPECT_EQ(4U, count(CounterId::pci_writes_refused));
    port_write({}, 4, 2, 0x0007);
    EXPECT_EQ(0x0007U, model_.find(0, 0)->get(4, 2));
}

TEST_F(Mediator, TheBridgeAboveTheCardStaysOpen)
{
    start();
    port_write(port_bdf, 0x3e, 2, 0x0040 | 0x0002); // secondary bus reset
    EXPECT_EQ(0x0002U, port_->get(0x3e, 2));
    ecam_write(port_bdf, 4, 2, 0x0400); // no memory, no bus master
    EXPECT_EQ(0x0406U, port_->get(4, 2));
    ecam_write(port_bdf, 0x8c, 2, 0x0003); // D3hot, as runtime power management does with an empty port
    EXPECT_EQ(0x0000U, port_->get(0x8c, 2));
    ecam_write(port_bdf, 0x64, 2, 0x0010); // link disable
    EXPECT_EQ(0x0000U, port_->get(0x64, 2));
    ecam_write(port_bdf, 0x6c, 2, 0x07c0); // slot power off
    EXPECT_EQ(0x03c0U, port_->get(0x6c, 2));
    EXPECT_EQ(5U, count(CounterId::pci_writes_refused));
    ecam_write(port_bdf, 0x3e, 2, 0x0003);
    EXPECT_EQ(0x0003U, port_->get(0x3e, 2));
    EXPECT_EQ(5U, count(CounterId::pci_writes_refused));
}

TEST_F(Mediator, WindowsMayGrowButNotLoseTheCard)
{
    start();
    ecam_write(port_bdf, 0x20, 4, 0xfeb0fe00); // grows downwards
    EXPECT_EQ(0xfeb0fe00U, port_->get(0x20, 4));
    for (std::uint32_t const bad : {0x0000fff0U, 0xfe90fe00U, 0xfec0feb0U, 0xffffffffU})
        ecam_write(port_bdf, 0x20, 4, bad);
    port_write(port_bdf, 0x22, 2, 0xfe90);
    EXPECT_EQ(0xfeb0fe00U, port_->get(0x20, 4));
    EXPECT_EQ(5U, count(CounterId::pci_writes_refused));
    ecam_write(port_bdf, 0x24, 4, 0x0000fff0); // the prefetchable window has nothing of ours
    EXPECT_EQ(0x0001fff1U, port_->get(0x24, 4));
    EXPECT_EQ(5U, count(CounterId::pci_writes_refused));
}

std::uint64_t page(Bdf f)
{
    return ecam_base + ecam_offset(f);
}

TEST_F(Mediator, RenumberedBusesAreFollowed)
{
    start();
    std::set<std::uint64_t> const rest = {page({}), page(ahci_bdf), page({0, 6, 0}), page(port_bdf)};
    auto const with = [&](std::initializer_list<std::uint64_t> more) {
        auto all = rest;
        all.insert(more);
        return all;
    };
    events_.ecam_pages_changed();
    EXPECT_EQ(with({page(nic_bdf)}), events_.pages.back());
    events_.pages.clear();
    // subordinate, secondary, primary in one write, as firmware and Linux do
    ecam_write(port_bdf, 0x18, 4, 0x00050500);
    ASSERT_EQ(2U, events_.pages.size());
    EXPECT_EQ(with({page(nic_bdf), page({5, 0, 0})}), events_.pages[0]);
    EXPECT_EQ(with({page({5, 0, 0})}), events_.pages[1]);
    EXPECT_EQ(0xffffU, ecam_read({5, 0, 0}, 0, 2)) << "hidden at its new place";
    EXPECT_EQ(0xffffU, port_read({5, 0, 0}, 0, 2));
    // Taken off the bus and put back elsewhere.
    port_write(port_bdf, 0x18, 4, 0);
    EXPECT_EQ(rest, events_.pages.back());
    port_write(port_bdf, 0x1a, 1, 9);
    port_write(port_bdf, 0x19, 1, 7);
    EXPECT_EQ(with({page({7, 0, 0})}), events_.pages.back());
    EXPECT_EQ(0xffffU, port_read({7, 0, 0}, 0, 2));
    EXPECT_EQ(0x10d3U, nic_->get(2, 2)) << "while it is there indeed";
}

TEST_F(Mediator, WorksWithoutEcam)
{
    EXPECT_TRUE(mediator_->hide(nic_bdf));
    EXPECT_TRUE(mediator_->watch(ahci_bdf));
    mediator_->start();
    events_.mediator = mediator_.get();
    EXPECT_EQ(0U, mediator_->ecam_pages().size());
    EXPECT_EQ(0xffffffffU, port_read(nic_bdf, 0, 4));
    port_write(ahci_bdf, 0x24, 4, 0x90000000);
    EXPECT_EQ((Texts{"before 00:1f.2 bar5 90000000", "moved 00:1f.2 bar5 90000000"}), take_events());
}

} // namespace
} // namespace undercroft::platform
