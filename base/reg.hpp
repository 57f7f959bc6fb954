// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

namespace undercroft {

/// How a device register may be accessed; part of its type, so that a
/// read-modify-write cannot acknowledge an event by accident.
enum class Access { read_write, read_only, write_one_to_clear };

/// A device register: byte offset, width and access rule.
template <std::size_t Offset, typename T, Access A>
struct Reg {
    using value_type = T;
    static constexpr std::size_t offset = Offset;
    static constexpr Access access = A;
};

/// Typed access to a register block. Bus offers load<T>(offset) and
/// store<T>(offset, value); on hardware it is MMIO, in tests a model.
template <typename Bus>
class Window {
public:
    explicit constexpr Window(Bus& bus) : bus_{&bus} {}

    template <typename R>
    [[nodiscard]] constexpr typename R::value_type read() const
    {
        return bus_->template load<typename R::value_type>(R::offset);
    }
    template <typename R>
        requires(R::access == Access::read_write)
    constexpr void write(typename R::value_type value) const
    {
        bus_->template store<typename R::value_type>(R::offset, value);
    }
    template <typename R>
        requires(R::access == Access::write_one_to_clear)
    constexpr void acknowledge(typename R::value_type bits) const
    {
        bus_->template store<typename R::value_type>(R::offset, bits);
    }

private:
    Bus* bus_;
};

} // namespace undercroft
