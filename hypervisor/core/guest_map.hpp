// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The guest's memory as the vendor's nested tables show it, in up to three views: the one that the guest runs
// on, the one of a CPU that single-steps an instruction nobody could emulate, and the one that takes the place of the
// first while the memory monitor looks (memory/monitored_view.hpp).
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/core/tlb_shootdown.hpp"
#include "hypervisor/memory/monitored_view.hpp"
#include "hypervisor/paging/memory_type.hpp"
#include "hypervisor/paging/nested_table.hpp"
#include "hypervisor/paging/page_pool.hpp"
#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::core {

/// Ranges are page-aligned. False: out of table pages.
class GuestMap {
public:
    [[nodiscard]] virtual bool unmap(Gpa first, std::uint64_t bytes) = 0;
    /// Pages that are not mapped stay so.
    [[nodiscard]] virtual bool set_rights(Gpa first, std::uint64_t bytes, paging::Permissions running,
                                          paging::Permissions stepping) = 0;
    [[nodiscard]] virtual bool may_write_while_stepping(Gpa gpa) const = 0;
    [[nodiscard]] virtual std::uint64_t running_root() const = 0;
    [[nodiscard]] virtual std::uint64_t stepping_root() const = 0;
    /// nullptr: none was set aside.
    [[nodiscard]] virtual memory::MonitoredView* monitored() = 0;

protected:
    ~GuestMap() = default;
};

/// Types: for_each(begin, end, visit(paging::TypedRange)) gives the memory types for the entries.
template <typename Format, typename Types>
class GuestMapOf final : public GuestMap {
public:
    using Table = paging::NestedTable<Format, paging::PagePool, TlbShootdown>;
    using View = memory::MonitoredViewOf<Format>;

    GuestMapOf(paging::PagePool& pool, TlbShootdown& shootdown, paging::TableCapabilities offered)
        : running_{pool, shootdown, offered}, stepping_{pool, shootdown, offered}
    {
    }

    /// Maps [0, bytes) to itself with every right.
    [[nodiscard]] bool create(std::uint64_t bytes, Types const& types)
    {
        return create(running_, bytes, types) && create(stepping_, bytes, types);
    }

    /// The third view: `view` is new, and so are the others still. False: out of pages, there is no third view then.
    [[nodiscard]] bool add_monitored(View& view, std::uint64_t bytes, Types const& types,
                                     memory::ViewMemory const& memory)
    {
        if (!create(view.table(), bytes, types) || !view.build(memory))
            return false;
        monitored_ = &view;
        return true;
    }

    /// The memory types have changed; targets and rights stay.
    [[nodiscard]] bool retype(std::uint64_t bytes, Types const& types)
    {
        SpinGuard const guard{lock_};
        auto const retype_table = [&](Table& table) {
            bool done = true;
            types.for_each(0, bytes, [&](paging::TypedRange const& range) {
                done = table.set_type({Gpa{range.begin}, range.end - range.begin}, range.type).has_value() && done;
            });
            return done;
        };
        bool done = retype_table(stepping_);
        done = retype_table(running_) && done;
        return (monitored_ == nullptr || monitored_->change_types(bytes, retype_table)) && done;
    }

    bool unmap(Gpa first, std::uint64_t bytes) override
    {
        SpinGuard const guard{lock_};
        return change(first, bytes, [&](Table& table) { return table.unmap({first, bytes}).has_value(); });
    }
    bool set_rights(Gpa first, std::uint64_t bytes, paging::Permissions running, paging::Permissions stepping) override
    {
        SpinGuard const guard{lock_};
        return change(first, bytes, [&](Table& table) {
            return table.set_permissions({first, bytes}, &table == &stepping_ ? stepping : running).has_value();
        });
    }
    [[nodiscard]] bool may_write_while_stepping(Gpa gpa) const override { return stepping_.lookup(gpa).rights.write; }
    [[nodiscard]] std::uint64_t running_root() const override { return running_.root(); }
    [[nodiscard]] std::uint64_t stepping_root() const override { return stepping_.root(); }
    [[nodiscard]] memory::MonitoredView* monitored() override { return monitored_; }

private:
    static bool create(Table& table, std::uint64_t bytes, Types const& types)
    {
        bool done = table.create().has_value();
        types.for_each(0, bytes, [&](paging::TypedRange const& range) {
            done =
                done && table.map_identity({Gpa{range.begin}, range.end - range.begin}, paging::rights_all, range.type)
                            .has_value();
        });
        return done;
    }

    template <typename ChangeTable>
    bool change(Gpa first, std::uint64_t bytes, ChangeTable&& change)
    {
        if (!change(stepping_) || !change(running_))
            return false;
        return monitored_ == nullptr || monitored_->change_devices({first, bytes}, change);
    }

    Spinlock lock_;
    Table running_;
    Table stepping_;
    View* monitored_ = nullptr;
};

} // namespace undercroft::core
