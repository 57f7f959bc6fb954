// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The guest's RAM as the monitored view of the nested tables shows it: what mode engines (engine.hpp) take
// rights from, give rights back in, and read accessed and dirty bits of.
// memory/monitored_view.hpp implements it over the nested tables, host tests fake it.
#include <cstdint>
#include <span>

#include "base/units.hpp"
#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::memory {

/// Values are those of wire::PageClass.
enum class PageSize : std::uint8_t { small = 1, huge = 2 };
inline constexpr std::uint64_t huge_page_bytes = 2ULL << 20;
constexpr std::uint64_t bytes_of(PageSize size)
{
    return size == PageSize::small ? page_bytes : huge_page_bytes;
}

/// Both multiples of 4,096.
struct PageRange {
    Gpa begin{};
    std::uint64_t bytes = 0;
    [[nodiscard]] constexpr std::uint64_t end() const { return begin.value + bytes; }
    constexpr bool operator==(PageRange const&) const = default;
};

struct AccessBits {
    bool accessed = false, dirty = false;
    constexpr bool operator==(AccessBits const&) const = default;
};

/// A page as it stands in the view.
struct PageState {
    bool watchable = false; ///< usable RAM that the view may take rights from
    Gpa begin{};            ///< of the page that `size` speaks of
    PageSize size = PageSize::small;
    paging::Permissions rights{};
    constexpr bool operator==(PageState const&) const = default;
};

class AccessVisitor {
public:
    /// A page (or huge page) with at least one of the bits set; in rising order.
    virtual void visit(Gpa page, PageSize size, AccessBits bits) = 0;

protected:
    ~AccessVisitor() = default;
};

/// Any CPU may call any function at any time; each is atomic against the others. Engines are called one at a time.
/// Taking rights or bits away holds on every CPU only after flush_all().
class PageView {
public:
    /// Usable RAM (the firmware's map without the sensor and what it traps), rising, page-aligned, joined.
    [[nodiscard]] virtual std::span<PageRange const> usable() const = 0;

    /// Takes all rights but `keep` from all pages of `range` (pages that have fewer get no more) and has entries of
    /// `size` wherever a 2 MiB page of RAM lies wholly in the range; others are small. Costs a few stores per 2 MiB
    /// that were touched since they were last armed so, not per page. To change back: arm(range, rights_all, huge)
    /// after restore(range).
    virtual void arm(PageRange range, paging::Permissions keep, PageSize size) = 0;
    /// The same for single pages, of the size that they have. Others than watchable pages are passed over.
    virtual void arm_pages(std::span<Gpa const> pages, paging::Permissions keep) = 0;
    /// Adds rights to one page (of the size that it has), and reading where the format wants it with them. Needs no
    /// flush. False: not watchable.
    virtual bool grant(Gpa page, paging::Permissions add) = 0;
    /// All rights to all pages of the range, in the sizes that they have; as cheap as arm(). Needs a flush only when
    /// an end of the range cuts a huge page.
    virtual void restore(PageRange range) = 0;
    [[nodiscard]] virtual PageState state(Gpa page) const = 0;

    /// Every CPU drops its cached translations before it runs guest code again; those in guest code are interrupted
    /// and have done so on return.
    virtual void flush_all() = 0;

    /// The processor sets accessed and dirty bits in the view that runs.
    [[nodiscard]] virtual bool has_access_bits() const = 0;
    /// A page may be executable without being readable.
    [[nodiscard]] virtual bool has_execute_only() const = 0;
    /// Reads and clears the bits of all pages of the range. Exact when flush_all() follows: an access after that
    /// sets them again. Cost: one load per 2 MiB plus 512 for each 2 MiB of small pages that was touched.
    virtual void take_access_bits(PageRange range, AccessVisitor& visitor) = 0;
    /// Of one page (of the size that it has). Cleared by take_access_bits; dirty also by a grant that lets the page be
    /// written again: it then tells whether it was. Taking rights clears nothing.
    [[nodiscard]] virtual AccessBits access_bits(Gpa page) const = 0;

protected:
    ~PageView() = default;
};

} // namespace undercroft::memory
