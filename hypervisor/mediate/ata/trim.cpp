// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/mediate/ata/trim.hpp"

#include <algorithm>
#include <span>

namespace undercroft::ata {

bool TrimRanges::fill()
{
    if (blocks_ == 0)
        return false;
    --blocks_;
    std::size_t have = 0;
    while (have < block_.size()) {
        if (extent_.bytes == 0 && !data_->next(extent_))
            break;
        std::size_t const n = std::min<std::uint64_t>(extent_.bytes, block_.size() - have);
        if (!memory_->read(extent_.address, std::span{block_}.subspan(have, n)))
            break;
        extent_.address = extent_.address + n;
        extent_.bytes -= n;
        have += n;
    }
    if (have == block_.size())
        return true;
    complete_ = false;
    blocks_ = 0;
    return false;
}

bool TrimRanges::next(TrimRange& range)
{
    for (;;) {
        if (at_ == block_.size()) {
            if (!fill())
                return false;
            at_ = 0;
        }
        std::uint64_t entry;
        __builtin_memcpy(&entry, block_.data() + at_, sizeof(entry));
        at_ += sizeof(entry);
        range = {entry & ((1ULL << 48) - 1), static_cast<std::uint32_t>(entry >> 48)};
        if (range.sectors != 0)
            return true;
    }
}

} // namespace undercroft::ata
