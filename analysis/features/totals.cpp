// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/features/totals.hpp"

namespace undercroft::analysis {
namespace {

template <typename Combine>
void combine(SquareSums& to, SquareSums const& from, Combine const& op)
{
    op(to.sum, from.sum);
    op(to.squares, from.squares);
}

template <typename T, typename Combine>
void combine(T& to, T const& from, Combine const& op)
{
    op(to, from);
}

template <typename T, std::size_t size, typename Combine>
void combine(std::array<T, size>& to, std::array<T, size> const& from, Combine const& op)
{
    for (std::size_t i = 0; i < size; ++i)
        combine(to[i], from[i], op);
}

template <typename Combine>
void combine(PaneTotals& to, PaneTotals const& from, Combine const& op)
{
    combine(to.rows, from.rows, op);
    combine(to.writes, from.writes, op);
    combine(to.lba, from.lba, op);
    combine(to.entropy, from.entropy, op);
    combine(to.overwrite_entropy, from.overwrite_entropy, op);
    combine(to.entropy_change, from.entropy_change, op);
    combine(to.memory, from.memory, op);
    combine(to.memory_rows, from.memory_rows, op);
    combine(to.memory_address, from.memory_address, op);
    combine(to.memory_entropy, from.memory_entropy, op);
    combine(to.memory_entropy_known, from.memory_entropy_known, op);
}

} // namespace

PaneTotals& PaneTotals::operator+=(PaneTotals const& other)
{
    combine(*this, other, [](auto& to, auto const& from) { to += from; });
    return *this;
}

PaneTotals& PaneTotals::operator-=(PaneTotals const& other)
{
    combine(*this, other, [](auto& to, auto const& from) { to -= from; });
    return *this;
}

} // namespace undercroft::analysis
