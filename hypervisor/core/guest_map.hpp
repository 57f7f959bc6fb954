// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The guest's memory as the vendor's nested tables show it, in two views: the one that the guest runs
// on, and the one of a CPU that single-steps an instruction nobody could emulate.
#include <cstdint>

#include "base/units.hpp"
#include "hypervisor/core/spinlock.hpp"
#include "hypervisor/paging/memory_type.hpp"
#include "hypervisor/paging/nested_table.hpp"
#include "hypervisor/paging/page_pool.hpp"
#include "hypervisor/paging/page_rights.hpp"

namespace undercroft::core {

/// Table changes that take rights away reach every CPU before the change counts as made.
class TlbShootdown {
public:
    virtual void request_flush() = 0;

protected:
    ~TlbShootdown() = default;
};

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

protected:
    ~GuestMap() = default;
};

/// Types: for_each(begin, end, visit(paging::TypedRange)) gives the memory types for the entries.
template <typename Format, typename Types>
class GuestMapOf final : public GuestMap {
public:
    using Table = paging::NestedTable<Format, paging::PagePool, TlbShootdown>;

    GuestMapOf(paging::PagePool& pool, TlbShootdown& shootdown, paging::TableCapabilities offered)
        : running_{pool, shootdown, offered}, stepping_{pool, shootdown, offered}
    {
    }

    /// Maps [0, bytes) to itself with every right.
    [[nodiscard]] bool create(std::uint64_t bytes, Types const& types)
    {
        return create(running_, bytes, types) && create(stepping_, bytes, types);
    }

    /// The memory types have changed; targets and rights stay.
    [[nodiscard]] bool retype(std::uint64_t bytes, Types const& types)
    {
        SpinGuard const guard{lock_};
        bool done = true;
        types.for_each(0, bytes, [&](paging::TypedRange const& range) {
            for (Table* const table : {&stepping_, &running_})
                done = table->set_type({Gpa{range.begin}, range.end - range.begin}, range.type).has_value() && done;
        });
        return done;
    }

    bool unmap(Gpa first, std::uint64_t bytes) override
    {
        SpinGuard const guard{lock_};
        return stepping_.unmap({first, bytes}).has_value() && running_.unmap({first, bytes}).has_value();
    }
    bool set_rights(Gpa first, std::uint64_t bytes, paging::Permissions running, paging::Permissions stepping) override
    {
        SpinGuard const guard{lock_};
        return stepping_.set_permissions({first, bytes}, stepping).has_value() &&
               running_.set_permissions({first, bytes}, running).has_value();
    }
    [[nodiscard]] bool may_write_while_stepping(Gpa gpa) const override { return stepping_.lookup(gpa).rights.write; }
    [[nodiscard]] std::uint64_t running_root() const override { return running_.root(); }
    [[nodiscard]] std::uint64_t stepping_root() const override { return stepping_.root(); }

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

    Spinlock lock_;
    Table running_;
    Table stepping_;
};

} // namespace undercroft::core
