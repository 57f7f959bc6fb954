// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A processor with VT-x as far as the backend can tell: keeps the VMCS, checks at each entry what the
// manual says is checked (Intel SDM vol. 3C, 27.2 and 27.3; written from the manual, not from the backend),
// and leaves the guest with the exit that the test has laid out.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "hypervisor/backend/vmx/vmx_emulate.hpp"

namespace undercroft::vmx::testing {

/// IA32_VMX_* as a Skylake server has them.
inline Capabilities skylake()
{
    Capabilities c;
    c.basic = 0x00DA'0400'0000'0004 | 1ULL << 55;
    c.misc = 0x7004'C1E7;
    c.pin = 0x0000'00FF'0000'0016;
    c.primary = 0xFFF9'FFFE'0400'6172;
    c.secondary = 0x0037'7CFF'0000'0000;
    c.exit = 0x01FF'FFFF'0003'6DFB;
    c.entry = 0x0003'FFFF'0000'11FB;
    c.ept_vpid = 0x0000'0F01'0673'4141;
    c.cr0_fixed0 = 0x8000'0021;
    c.cr0_fixed1 = 0xFFFF'FFFF;
    c.cr4_fixed0 = 0x2000;
    c.cr4_fixed1 = 0x0077'27FF;
    return c;
}

struct ModelVmx {
    using Fields = std::map<Field, std::uint64_t>;

    std::uint64_t read(Field field) const
    {
        auto const found = fields.find(field);
        if (found != fields.end())
            return found->second;
        ADD_FAILURE() << "VMREAD of a field never written: " << std::hex << static_cast<std::uint32_t>(field);
        return 0;
    }
    void write(Field field, std::uint64_t value)
    {
        bool const read_only = (static_cast<std::uint32_t>(field) >> 10 & 3) == 1;
        EXPECT_FALSE(read_only) << "VMWRITE to a read-only field";
        fields[field] = value;
    }
    bool enter(std::uint64_t* /*gpr*/, bool launched)
    {
        EXPECT_EQ(launched, entries != 0) << "VMLAUNCH once, then VMRESUME";
        ++entries;
        at_entry = fields;
        check_entry();
        fields[Field::entry_event] &= ~std::uint64_t{event::valid};
        for (auto const& [field, value] : next_exit)
            fields[field] = value;
        return true;
    }
    static std::uint64_t exit_address() { return 0x1234'5000; }

    bool vmxon(std::uint64_t) { return on = (cr4_value & cr4_vmxe) != 0 && (feature_control & 5) == 5; }
    bool vmclear(std::uint64_t) const { return on; }
    bool vmptrld(std::uint64_t) const { return on; }
    void invept(std::uint64_t type, std::uint64_t pointer) { invalidations.push_back({0xE, type, pointer}); }
    void invvpid(std::uint64_t type, std::uint16_t vpid) { invalidations.push_back({0xF, type, vpid}); }

    core::CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf) const
    {
        auto const found = cpuid_answers.find({leaf, subleaf});
        return found == cpuid_answers.end() ? core::CpuidResult{} : found->second;
    }
    std::uint64_t read_msr(std::uint32_t number) const
    {
        if (number == msr::feature_control)
            return feature_control;
        if (auto const found = msrs.find(number); found != msrs.end())
            return found->second;
        return number == core::msr::efer ? 0xD00 : number == core::msr::pat ? 0x0007'0406'0007'0406 : 0;
    }
    void write_msr(std::uint32_t number, std::uint64_t value)
    {
        if (number != msr::feature_control) {
            ASSERT_TRUE(msrs.contains(number)) << "#GP: MSR " << std::hex << number;
            ASSERT_FALSE(on) << "#GP in VMX operation on some processors";
            msrs[number] = value;
            return;
        }
        ASSERT_EQ(feature_control & 1, 0U) << "#GP: locked";
        feature_control = value;
    }
    std::uint64_t tsc() const { return time; }
    std::uint64_t cr0() const { return cr0_value; }
    void set_cr0(std::uint64_t value) { cr0_value = value; }
    static std::uint64_t cr3() { return 0x10'0000; }
    std::uint64_t cr4() const { return cr4_value; }
    void set_cr4(std::uint64_t value) { cr4_value = value; }
    void set_cr2(std::uint64_t value) { cr2 = value; }
    std::uint64_t dr6() const { return dr6_value; }
    void set_dr6(std::uint64_t value) { dr6_value = value; }
    static std::uint64_t dr7() { return 0x400; }
    void clear_breakpoints() {}
    void open_nmis() { ++nmis_opened; }
    bool xsetbv(std::uint32_t index, std::uint64_t value)
    {
        xcr0 = value;
        return index == 0 && (value & 1) != 0;
    }
    void write_back_caches() { ++cache_writebacks; }
    /// 64-bit firmware without a TSS, as UEFI is.
    static core::Selectors selectors()
    {
        return {{0x30, 0x38, 0x30, 0x30, 0x30, 0x30, 0, 0}, {0x47, 0x2000}, {0xFFF, 0x3000}};
    }
    static core::Descriptor descriptor(std::uint16_t selector, core::TablePointer const&)
    {
        if (selector == 0)
            return {};
        return {static_cast<std::uint16_t>(selector == 0x38 ? 0xA9B : 0xC93), 0xFFFF'FFFF, 0};
    }

    void check_entry() const;

    Fields fields, at_entry, next_exit;
    unsigned entries = 0, nmis_opened = 0, cache_writebacks = 0;
    std::vector<std::array<std::uint64_t, 3>> invalidations; ///< E or F, type, pointer or VPID
    std::map<std::pair<std::uint32_t, std::uint32_t>, core::CpuidResult> cpuid_answers;
    std::map<std::uint32_t, std::uint64_t> msrs; ///< further ones that this processor has
    std::uint64_t feature_control = 0, cr0_value = 0x8000'0013, cr4_value = 0x628, cr2 = 0, dr6_value = 0xFFFF'0FF0,
                  time = 1000, xcr0 = 1;
    bool on = false;
};

inline void ModelVmx::check_entry() const
{
    auto const bit = [](std::uint64_t value, unsigned number) { return (value >> number & 1) != 0; };
    Capabilities const c = skylake();
    // Controls (27.2.1).
    for (auto const& [field, capability] :
         {std::pair{Field::pin_controls, c.pin}, std::pair{Field::primary_controls, c.primary},
          std::pair{Field::secondary_controls, c.secondary}, std::pair{Field::exit_controls, c.exit},
          std::pair{Field::entry_controls, c.entry}}) {
        EXPECT_EQ(read(field) & (capability & 0xFFFF'FFFF), capability & 0xFFFF'FFFF);
        EXPECT_EQ(read(field) & ~(capability >> 32), 0U);
    }
    if (bit(read(Field::primary_controls), 22)) { // NMI-window exiting asks for virtual NMIs
        EXPECT_TRUE(bit(read(Field::pin_controls), 5));
    }
    EXPECT_NE(read(Field::vpid), 0U);
    EXPECT_EQ(read(Field::ept_pointer) & 0x3F, 0x1EU) << "write-back, four levels";
    // Host (27.2.2, 27.2.3).
    EXPECT_EQ(read(Field::host_cr4) & (cr4_pae | cr4_vmxe), cr4_pae | cr4_vmxe);
    EXPECT_EQ(read(Field::host_cr0) & c.cr0_fixed0, c.cr0_fixed0);
    EXPECT_NE(read(Field::host_cs), 0U);
    EXPECT_NE(read(Field::host_tr), 0U);
    EXPECT_EQ(read(Field::host_efer) & 0x500, 0x500U);
    // Guest control registers (27.3.1.1), "unrestricted guest".
    std::uint64_t const cr0_now = read(Field::guest_cr0), cr4_now = read(Field::guest_cr4),
                        efer = read(Field::guest_efer);
    EXPECT_TRUE(bit(cr0_now, 5)) << "NE";
    EXPECT_TRUE(!bit(cr0_now, 31) || bit(cr0_now, 0)) << "PG without PE";
    EXPECT_EQ(cr4_now & c.cr4_fixed0, c.cr4_fixed0);
    EXPECT_EQ(cr4_now & ~c.cr4_fixed1, 0U);
    bool const long_mode = bit(read(Field::entry_controls), 9);
    EXPECT_EQ(long_mode, bit(efer, 10)) << "LMA";
    if (bit(cr0_now, 31)) {
        EXPECT_EQ(bit(efer, 8), bit(efer, 10)) << "LME and LMA with paging";
    }
    EXPECT_TRUE(!long_mode || (bit(cr0_now, 31) && bit(cr4_now, 5)));
    // Segments (27.3.1.2): those with firm rules.
    std::uint64_t const cs = read(Field::guest_cs_rights), ss = read(Field::guest_ss_rights);
    std::uint64_t const tr = read(at(Field::guest_es_rights, 7)), ldtr = read(at(Field::guest_es_rights, 6));
    EXPECT_TRUE((cs & 0x91) == 0x91 && !bit(cs, 16)) << "code, present, accessed";
    EXPECT_FALSE(long_mode && bit(cs, 13) && bit(cs, 14)) << "L and D";
    EXPECT_TRUE((tr & 0xF) == 11 || (!long_mode && (tr & 0xF) == 3)) << "busy TSS";
    EXPECT_EQ(tr & 0x10090, 0x80U);
    EXPECT_TRUE(bit(ldtr, 16) || (ldtr & 0x9F) == 0x82) << "LDT";
    EXPECT_EQ((ss | cs | tr) & ~0x1F0FFULL, 0U) << "reserved bits";
    EXPECT_EQ(read(Field::link_pointer), ~0ULL);
    // RFLAGS, activity, interruptibility, events (27.3.1.4, 27.3.1.5, 27.2.1.3).
    std::uint64_t const flags = read(Field::guest_rflags), shadow = read(Field::interruptibility);
    EXPECT_TRUE(bit(flags, 1));
    EXPECT_LE(read(Field::activity), 1U);
    EXPECT_NE(shadow & 3, 3U);
    EXPECT_TRUE(!bit(shadow, 0) || bit(flags, 9)) << "blocking by STI with IF clear";
    bool const must_trap = (shadow & 3) != 0 || read(Field::activity) == 1;
    if (must_trap) {
        EXPECT_EQ(bit(read(Field::pending_debug), 14), bit(flags, 8));
    }
    std::uint64_t const injected = read(Field::entry_event);
    if (!bit(injected, 31))
        return;
    std::uint64_t const type = injected >> 8 & 7, vector = injected & 0xFF;
    constexpr std::uint64_t with_error = 1U << 8 | 0x7C00 | 1U << 17;
    EXPECT_TRUE(type != 1 && type != 7);
    EXPECT_TRUE(type != 2 || (vector == 2 && (shadow & 0xA) == 0)) << "NMI while blocked";
    EXPECT_TRUE(type != 0 || (bit(flags, 9) && (shadow & 3) == 0)) << "interrupt while blocked";
    EXPECT_EQ(bit(injected, 11), type == 3 && bit(cr0_now, 0) && vector < 32 && (with_error >> vector & 1) != 0);
    EXPECT_EQ(injected & 0x7FFF'F000, 0U);
}

} // namespace undercroft::vmx::testing
