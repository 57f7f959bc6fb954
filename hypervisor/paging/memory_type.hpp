// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory types as the firmware set them: MTRRs (Intel SDM vol. 3A, 12.11; AMD APM vol. 2,
// 7.7), PAT (12.12; 7.8), and what to put into nested tables. SMRRs are left out: they
// speak of SMRAM, which the processor guards itself.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::paging {

/// The MTRR registers as read by RDMSR.
struct MtrrRegisters {
    static constexpr std::uint32_t msr_capability = 0xFE;
    static constexpr std::uint32_t msr_default_type = 0x2FF;
    static constexpr std::uint32_t msr_variable = 0x200; ///< base, mask, base, mask ...
    static constexpr std::array<std::uint32_t, 11> msr_fixed{0x250, 0x258, 0x259, 0x268, 0x269, 0x26A,
                                                             0x26B, 0x26C, 0x26D, 0x26E, 0x26F};
    static constexpr std::size_t max_variable = 255; ///< the count has 8 bits

    struct Variable {
        std::uint64_t base, mask;
    };
    std::uint64_t capability = 0;
    std::uint64_t default_type = 0;
    std::array<std::uint64_t, 11> fixed{}; ///< in the order of msr_fixed
    std::array<Variable, max_variable> variable{};

    [[nodiscard]] std::size_t variable_count() const
    {
        return (capability & 0xFF) < max_variable ? capability & 0xFF : max_variable;
    }
};

/// Reads all MTRRs that the processor says it has. `read_msr(index)` is RDMSR.
template <typename ReadMsr>
void read_mtrrs(ReadMsr&& read_msr, MtrrRegisters& out)
{
    out = {};
    out.capability = read_msr(MtrrRegisters::msr_capability);
    out.default_type = read_msr(MtrrRegisters::msr_default_type);
    if (out.capability & (1U << 8))
        for (std::size_t i = 0; i < out.fixed.size(); ++i)
            out.fixed[i] = read_msr(MtrrRegisters::msr_fixed[i]);
    for (std::size_t i = 0; i < out.variable_count(); ++i) {
        auto const msr = MtrrRegisters::msr_variable + static_cast<std::uint32_t>(2 * i);
        out.variable[i] = {read_msr(msr), read_msr(msr + 1)};
    }
}

/// [begin, end) of one memory type.
struct TypedRange {
    std::uint64_t begin, end;
    MemoryType type;
    bool operator==(TypedRange const&) const = default;
};

/// What the MTRRs say of physical addresses.
class MtrrMap {
public:
    /// `address_bits` is MAXPHYADDR. Refers to `registers`.
    MtrrMap(MtrrRegisters const& registers, unsigned address_bits);

    [[nodiscard]] MemoryType type_at(std::uint64_t address) const;
    /// The type of all of [begin, end), or nothing when it changes inside.
    [[nodiscard]] std::optional<MemoryType> type_of(std::uint64_t begin, std::uint64_t end) const;
    /// The longest range of one type that starts at `begin`, cut at `end`.
    [[nodiscard]] TypedRange first_range(std::uint64_t begin, std::uint64_t end) const;

    /// Calls visit(TypedRange) for [begin, end) in rising order, neighbours differing in type.
    template <typename Visit>
    void for_each(std::uint64_t begin, std::uint64_t end, Visit&& visit) const
    {
        while (begin < end) {
            TypedRange const range = first_range(begin, end);
            visit(range);
            begin = range.end;
        }
    }

private:
    [[nodiscard]] bool enabled() const;
    [[nodiscard]] bool fixed_apply(std::uint64_t address) const;
    [[nodiscard]] MemoryType variable_type(std::uint64_t address) const;
    /// The next address above at which another register may decide.
    [[nodiscard]] std::uint64_t next_change(std::uint64_t address) const;

    MtrrRegisters const* registers_;
    std::uint64_t address_mask_; ///< bits 12 to MAXPHYADDR - 1
};

/// Entry `index` (0 ... 7) of IA32_PAT (MSR 277h).
[[nodiscard]] MemoryType pat_type(std::uint64_t pat, unsigned index);
/// Value of IA32_PAT after reset (SDM 12.12.4): WB, WT, UC-, UC, twice.
inline constexpr std::uint64_t pat_after_reset = 0x0007'0406'0007'0406;

/// The type of an access by the page's PAT type and the MTRR's type (Intel SDM vol. 3A,
/// table 12-7). With EPT, the entry's type takes the MTRR's place (SDM vol. 3C, 29.3.7.2).
[[nodiscard]] MemoryType effective_type(MemoryType mtrr, MemoryType pat);

/// EPT: MTRRs no longer count for guest accesses, so each entry carries the type that the
/// MTRRs give its page, and IPAT stays 0 so that the guest's PAT works as without us.
[[nodiscard]] inline MemoryType ept_type(MtrrMap const& map, std::uint64_t address)
{
    return map.type_at(address);
}

/// NPT: the processor still applies the MTRRs to the final address. What a nested entry
/// adds is combined with the guest's PAT type (APM vol. 2, 15.25.8), and WB adds nothing:
/// the result is the guest's PAT type under the MTRRs, as without nested paging.
inline constexpr MemoryType npt_type = MemoryType::write_back;

} // namespace undercroft::paging
