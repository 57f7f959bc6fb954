// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/multiboot2/tags.hpp"

#include "base/le.hpp"

namespace undercroft::multiboot2 {
namespace {

enum class Tag : std::uint32_t { end = 0, command_line = 1, module = 3, boot_device = 5 };
constexpr std::size_t fixed_bytes = 8, header_bytes = 8, alignment = 8;
constexpr std::uint8_t first_hard_disk = 0x80, first_cd = 0xE0;

/// The caller has checked that it lies inside.
std::uint32_t word(std::span<std::uint8_t const> bytes, std::size_t at)
{
    Le<std::uint32_t> value;
    __builtin_memcpy(&value, bytes.data() + at, sizeof(value));
    return value.get();
}

/// Up to the first zero byte.
std::string_view text(std::span<std::uint8_t const> bytes)
{
    std::size_t length = 0;
    while (length < bytes.size() && bytes[length] != 0)
        ++length;
    return {reinterpret_cast<char const*>(bytes.data()), length};
}

bool read_tag(Tag type, std::span<std::uint8_t const> body, BootTags& tags)
{
    switch (type) {
    case Tag::command_line:
        tags.command_line = text(body);
        return true;
    case Tag::module: {
        if (body.size() < 8)
            return false;
        Module const module{word(body, 0), word(body, 4)};
        if (module.end < module.start)
            return false;
        if (tags.module_count == BootTags::max_modules)
            ++tags.modules_omitted;
        else
            tags.modules[tags.module_count++] = module;
        return true;
    }
    case Tag::boot_device:
        if (body.size() < 4)
            return false;
        if (word(body, 0) <= 0xFF)
            tags.boot_drive = static_cast<std::uint8_t>(word(body, 0));
        return true;
    default:
        return true;
    }
}

std::optional<std::uint8_t> drive_number(std::string_view digits)
{
    unsigned const base = digits.starts_with("0x") ? 16 : 10;
    if (base == 16)
        digits.remove_prefix(2);
    unsigned value = 0;
    if (digits.empty())
        return {};
    for (char const c : digits) {
        unsigned const digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                               : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                               : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A') + 10
                                                      : 99U;
        if (digit >= base)
            return {};
        value = value * base + digit;
        if (value > 0xFF)
            return {};
    }
    return static_cast<std::uint8_t>(value);
}

} // namespace

std::optional<BootTags> read_tags(std::span<std::uint8_t const> bytes)
{
    if (bytes.size() < fixed_bytes || word(bytes, 0) < fixed_bytes || word(bytes, 0) > bytes.size())
        return {};
    bytes = bytes.first(word(bytes, 0));
    BootTags tags;
    for (std::size_t at = fixed_bytes; at < bytes.size();) {
        if (bytes.size() - at < header_bytes)
            return {};
        auto const type = static_cast<Tag>(word(bytes, at));
        std::size_t const length = word(bytes, at + 4);
        if (length < header_bytes || length > bytes.size() - at)
            return {};
        if (type == Tag::end)
            return tags;
        if (!read_tag(type, bytes.subspan(at + header_bytes, length - header_bytes), tags))
            return {};
        at += (length + alignment - 1) & ~(alignment - 1);
    }
    return {}; // no end tag
}

Options read_options(std::string_view line)
{
    constexpr std::string_view drive_key = "boot_drive=";
    Options options;
    while (!line.empty()) {
        std::size_t length = 0;
        while (length < line.size() && line[length] != ' ')
            ++length;
        std::string_view const word = line.substr(0, length);
        line.remove_prefix(length < line.size() ? length + 1 : length);
        if (word.empty())
            continue;
        if (word.starts_with(drive_key) && drive_number(word.substr(drive_key.size())))
            options.boot_drive = drive_number(word.substr(drive_key.size()));
        else
            options.good = false;
    }
    return options;
}

std::uint8_t next_drive(Options const& options, BootTags const& tags)
{
    if (options.boot_drive)
        return *options.boot_drive;
    bool const hard_disk = tags.boot_drive && *tags.boot_drive >= first_hard_disk && *tags.boot_drive < first_cd;
    return hard_disk ? *tags.boot_drive : first_hard_disk;
}

} // namespace undercroft::multiboot2
