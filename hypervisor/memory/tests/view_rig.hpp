// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// A monitored view over real tables, and processors that walk them as the manuals say.
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "hypervisor/core/guest_map.hpp"
#include "hypervisor/core/startup.hpp"
#include "hypervisor/paging/ept_format.hpp"

namespace undercroft::memory::testing {

inline constexpr std::uint64_t mib = 1 << 20, gib = 1 << 30;

struct NoShootdown : core::TlbShootdown {
    void request_flush() override { ++flushes; }
    unsigned flushes = 0;
};

/// One memory type everywhere.
struct WriteBack {
    template <typename Visit>
    void for_each(std::uint64_t begin, std::uint64_t end, Visit&& visit) const
    {
        visit(paging::TypedRange{begin, end, paging::MemoryType::write_back});
    }
};

inline constexpr std::size_t rig_pages = 256;

/// RAM: 0 ... 640 KiB, 1 MiB ... 24 MiB, 1 GiB ... 1 GiB + 6 MiB + 64 KiB; the rest of 2 GiB are devices.
template <typename Format, typename Types = WriteBack>
struct ViewRig {
    using Map = core::GuestMapOf<Format, Types>;
    static constexpr std::uint64_t map_bytes = 2 * gib;

    explicit ViewRig(core::TlbShootdown& shootdown, Types const& types = {}, bool pages_1g = true)
        : memory(new std::byte[(rig_pages + 1) * 4096]),
          pool{reinterpret_cast<void*>((reinterpret_cast<std::uint64_t>(memory.get()) + 4095) & ~4095ULL), rig_pages},
          map{pool, shootdown, capabilities(pages_1g)}, view{pool, shootdown, capabilities(pages_1g)},
          regions(regions_for(ram.back().end())), directories(directories_for(ram.back().end()))
    {
        built = map.create(map_bytes, types) && map.add_monitored(view, map_bytes, types, {ram, regions, directories});
        view.set_bits_live(true);
    }
    static paging::TableCapabilities capabilities(bool pages_1g)
    {
        return {.pages_1g = pages_1g, .pages_2m = true, .execute_only = true, .address_bits = 39};
    }
    [[nodiscard]] std::uint64_t root() const { return view.root(); }

    std::array<PageRange, 3> ram{PageRange{Gpa{0}, 640 * 1024}, PageRange{Gpa{mib}, 23 * mib},
                                 PageRange{Gpa{gib}, 6 * mib + 65536}};
    std::unique_ptr<std::byte[]> memory;
    paging::PagePool pool;
    Map map;
    MonitoredViewOf<Format> view;
    std::vector<Region> regions;
    std::vector<std::uint64_t*> directories;
    bool built = false;
};

/// What a walk finds. Rights are those that every level gives.
struct Translation {
    bool present = false;
    std::uint64_t host = 0, bytes = 0;
    paging::Permissions rights{};
};

/// A processor's nested walk, written from the manuals' tables and not from our formats (Intel SDM volume 3C, 29.3.2;
/// AMD64 APM volume 2, 5.3.3). Sets accessed bits on the way and, for a write that is allowed, the dirty bit.
template <typename Format>
struct Walker {
    static constexpr bool is_ept = std::is_same_v<Format, paging::EptFormat>;
    static paging::Permissions rights_of(std::uint64_t entry)
    {
        bool const present = is_ept ? (entry & 7) != 0 : (entry & 1) != 0;
        if (is_ept)
            return {(entry & 1) != 0, (entry & 2) != 0, (entry & 4) != 0};
        return {present, present && (entry & 2) != 0, present && entry >> 63 == 0};
    }
    static constexpr std::uint64_t accessed = is_ept ? 1U << 8 : 1U << 5, dirty = is_ept ? 1U << 9 : 1U << 6;

    static Translation walk(std::uint64_t root, std::uint64_t gpa, paging::Permissions access, bool mark = true)
    {
        Translation result{.present = true, .rights = paging::rights_all};
        std::uint64_t table = root;
        std::array<std::uint64_t*, 4> used{};
        unsigned levels = 0;
        for (unsigned level = 4;; --level) {
            unsigned const shift = 12 + 9 * (level - 1);
            std::uint64_t* const slot = &reinterpret_cast<std::uint64_t*>(table)[gpa >> shift & 511];
            std::uint64_t const entry = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
            paging::Permissions const rights = rights_of(entry);
            if (!rights.any())
                return {};
            used[levels++] = slot;
            result.rights = both(result.rights, rights);
            if (level == 1 || (entry >> 7 & 1) != 0) {
                result.bytes = 1ULL << shift;
                result.host = (entry & 0x000F'FFFF'FFFF'F000 & ~(result.bytes - 1)) | (gpa & (result.bytes - 1));
                break;
            }
            table = entry & 0x000F'FFFF'FFFF'F000;
        }
        if (!result.rights.includes(access) || !mark)
            return result;
        for (unsigned i = 0; i < levels; ++i)
            (void)__atomic_fetch_or(used[i], accessed, __ATOMIC_ACQ_REL);
        if (access.write)
            (void)__atomic_fetch_or(used[levels - 1], dirty, __ATOMIC_ACQ_REL);
        return result;
    }
};

} // namespace undercroft::memory::testing
