// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/config.hpp"

#include "hypervisor/core/config_value.hpp"
#include "hypervisor/core/text.hpp"

namespace undercroft::core {
namespace {

template <std::size_t N>
bool set_secret(std::string_view text, std::array<std::uint8_t, N>& into)
{
    if (!parse_hex_bytes(text, into))
        return false;
    for (std::uint8_t const byte : into)
        if (byte != 0)
            return true;
    return false;
}

template <typename T>
bool set_number(std::string_view text, std::uint32_t least, std::uint32_t most, T& into)
{
    auto const number = parse_decimal(text, least, most);
    if (number)
        into = static_cast<T>(*number);
    return number.has_value();
}

/// The position of `text` in `names`.
template <typename T, std::size_t N>
bool set_choice(std::string_view text, std::string_view const (&names)[N], T& into)
{
    for (std::size_t i = 0; i < N; ++i) {
        if (text == names[i]) {
            into = static_cast<T>(i);
            return true;
        }
    }
    return false;
}

bool set_switch(std::string_view text, bool& into)
{
    std::uint8_t chosen = 0;
    if (!set_choice(text, {"off", "on"}, chosen))
        return false;
    into = chosen == 1;
    return true;
}

bool set_ipv4(std::string_view text, Ipv4& into)
{
    auto const address = parse_ipv4(text);
    if (address)
        into = *address;
    return address.has_value();
}

bool set_address(std::string_view text, Config& config)
{
    config.dhcp = text == "dhcp";
    return config.dhcp || (set_ipv4(text, config.address) && is_host_address(config.address));
}

bool set_netmask(std::string_view text, Config& config)
{
    if (!set_ipv4(text, config.netmask))
        return false;
    std::uint32_t const hosts = ~to_number(config.netmask);
    return (hosts & (hosts + 1)) == 0 && hosts != 0xffffffff;
}

bool set_collector(std::string_view text, Config& config)
{
    auto const endpoint = parse_endpoint(text, 0);
    if (!endpoint || !is_host_address(endpoint->address))
        return false;
    config.collector = endpoint->address;
    config.collector_port = endpoint->port;
    return true;
}

bool set_sntp(std::string_view text, Config& config)
{
    if (text == "off") {
        config.sntp = false;
        return true;
    }
    auto const endpoint = parse_endpoint(text, 123);
    if (!endpoint || !is_host_address(endpoint->address))
        return false;
    config.sntp = true;
    config.sntp_server = endpoint->address;
    config.sntp_port = endpoint->port;
    return true;
}

bool set_nic(std::string_view text, Config& config)
{
    if (set_choice(text, {"auto", "first", "e1000", "e1000e", "virtio"}, config.nic))
        return true;
    // pci:BB:DD.F
    if (text.size() != 11 || !text.starts_with("pci:") || text[6] != ':' || text[9] != '.')
        return false;
    auto const bus = parse_hex(slice(text, 4, 2), 0xff);
    auto const device = parse_hex(slice(text, 7, 2), 0x1f);
    auto const function = parse_hex(slice(text, 10, 1), 7);
    if (!bus || !device || !function)
        return false;
    config.nic = NicChoice::address;
    config.nic_bus = static_cast<std::uint8_t>(*bus);
    config.nic_device = static_cast<std::uint8_t>(*device);
    config.nic_function = static_cast<std::uint8_t>(*function);
    return true;
}

bool set_log_serial(std::string_view text, Config& config)
{
    if (text == "off") {
        config.log_port = 0;
        return true;
    }
    if (!text.starts_with("0x"))
        return false;
    auto const port = parse_hex(slice(text, 2), 0xfff8);
    if (!port || *port == 0 || *port % 8 != 0)
        return false;
    config.log_port = static_cast<std::uint16_t>(*port);
    return true;
}

struct Key {
    std::string_view name;
    std::string_view allowed;
    bool required;
    bool secret; ///< never repeated in an error message
    bool (*set)(std::string_view, Config&);
};

constexpr Key keys[] = {
    {"machine_id", "32 hex digits, not all 0", true, false,
     [](std::string_view v, Config& c) { return set_secret(v, c.machine_id); }},
    {"key", "64 hex digits, not all 0", true, true, [](std::string_view v, Config& c) { return set_secret(v, c.key); }},
    {"control_key", "64 hex digits, not all 0", true, true,
     [](std::string_view v, Config& c) { return set_secret(v, c.control_key); }},
    {"capture", "on or off", false, false,
     [](std::string_view v, Config& c) { return set_switch(v, c.capture_at_start); }},
    {"mode", "header or content", false, false,
     [](std::string_view v, Config& c) { return set_choice(v, {"header", "content"}, c.mode); }},
    {"policy", "drop or hold", false, false,
     [](std::string_view v, Config& c) { return set_choice(v, {"drop", "hold"}, c.policy); }},
    {"buffer_kib", "64 ... 4194304", false, false,
     [](std::string_view v, Config& c) { return set_number(v, 64, 4194304, c.buffer_kib); }},
    {"memory", "on or off", false, false, [](std::string_view v, Config& c) { return set_switch(v, c.memory); }},
    {"memory_buffer_kib", "256 ... 4194304", false, false,
     [](std::string_view v, Config& c) { return set_number(v, 256, 4194304, c.memory_buffer_kib); }},
    {"address", "dhcp or a host's a.b.c.d", false, false, set_address},
    {"netmask", "a mask such as 255.255.255.0", false, false, set_netmask},
    {"gateway", "a host's a.b.c.d", false, false,
     [](std::string_view v, Config& c) { return set_ipv4(v, c.gateway) && is_host_address(c.gateway); }},
    {"collector", "a.b.c.d:port", true, false, set_collector},
    {"sntp", "off, a.b.c.d or a.b.c.d:port", false, false, set_sntp},
    {"sntp_interval_s", "1 ... 86400", false, false,
     [](std::string_view v, Config& c) { return set_number(v, 1, 86400, c.sntp_interval_s); }},
    {"mtu", "576 ... 9000", false, false,
     [](std::string_view v, Config& c) { return set_number(v, 576, 9000, c.mtu); }},
    {"nic", "auto, first, e1000, e1000e, virtio or pci:BB:DD.F in hex", false, false, set_nic},
    {"log_serial", "off or a port such as 0x3e8", false, false, set_log_serial},
    {"log_level", "error, warning, info or debug", false, false,
     [](std::string_view v, Config& c) { return set_choice(v, {"error", "warning", "info", "debug"}, c.log_level); }},
    {"send_delay_ms", "1 ... 100", false, false,
     [](std::string_view v, Config& c) { return set_number(v, 1, 100, c.send_delay_ms); }},
};
constexpr std::size_t key_count = sizeof(keys) / sizeof(keys[0]);

/// The error's text, closed with a zero however long it would have been.
class Message {
public:
    Message(ConfigError& error, unsigned line)
        : error_{&error}, text_{std::span{error.message}.first(sizeof(error.message) - 1)}
    {
        error.line = line;
    }
    Message(Message const&) = delete;
    Message& operator=(Message const&) = delete;
    ~Message() { error_->message[text_.view().size()] = '\0'; }
    Message& operator<<(std::string_view text)
    {
        text_.put(text);
        return *this;
    }
    Message& operator<<(unsigned number)
    {
        text_.put_decimal(number);
        return *this;
    }
    /// A piece of the file, short and printable.
    Message& quote(std::string_view text)
    {
        text_.put('\'').put_printable(slice(text, 0, 32)).put(text.size() > 32 ? "...'" : "'");
        return *this;
    }

private:
    ConfigError* error_;
    TextBuffer text_;
};

constexpr bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

std::string_view trim(std::string_view text)
{
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    return text;
}

Key const* find_key(std::string_view name)
{
    for (Key const& key : keys)
        if (key.name == name)
            return &key;
    return nullptr;
}

/// Remembers on which line each key was set (0: not yet).
using SeenLines = std::array<unsigned, key_count>;

bool was_set(SeenLines const& seen, std::string_view name)
{
    return seen[static_cast<std::size_t>(find_key(name) - keys)] != 0;
}

bool parse_line(std::string_view line, unsigned number, Config& config, SeenLines& seen, ConfigError& error)
{
    line = trim(slice(line, 0, position_of('#', line)));
    if (line.empty())
        return true;
    std::size_t const equals = position_of('=', line);
    std::string_view const name = trim(slice(line, 0, equals));
    if (equals == line.size()) {
        // Without '=' the line may be a key that was pasted alone: it is not repeated.
        Message{error, number} << "expected 'name = value'";
        return false;
    }
    Key const* const key = find_key(name);
    if (key == nullptr) {
        Message{error, number}.quote(name) << " is not a known name; see docs/configuration.md";
        return false;
    }
    unsigned& first_line = seen[static_cast<std::size_t>(key - keys)];
    if (first_line != 0) {
        Message{error, number} << key->name << " was already set in line " << first_line;
        return false;
    }
    first_line = number;
    std::string_view const value = trim(slice(line, equals + 1));
    if (key->set(value, config))
        return true;
    Message message{error, number};
    message << key->name << " = ";
    if (key->secret)
        message << "(not shown)";
    else
        message.quote(value);
    message << ": allowed is " << key->allowed;
    return false;
}

/// Rules between keys.
bool check_network(Config const& config, SeenLines const& seen, ConfigError& error)
{
    if (config.dhcp) {
        for (std::string_view const name : {std::string_view{"netmask"}, std::string_view{"gateway"}}) {
            if (was_set(seen, name)) {
                Message{error, seen[static_cast<std::size_t>(find_key(name) - keys)]}
                    << name << " is only allowed with a fixed address (address = a.b.c.d)";
                return false;
            }
        }
        return true;
    }
    std::uint32_t const mask = to_number(config.netmask);
    std::uint32_t const network = to_number(config.address) & mask;
    auto const is_local = [&](Ipv4 const& other) { return (to_number(other) & mask) == network; };
    if (was_set(seen, "gateway") && !is_local(config.gateway)) {
        Message{error, 0} << "gateway is not in the network given by address and netmask";
        return false;
    }
    bool const needs_gateway = !is_local(config.collector) || (config.sntp && !is_local(config.sntp_server));
    if (needs_gateway && !was_set(seen, "gateway")) {
        Message{error, 0} << (is_local(config.collector) ? "sntp" : "collector")
                          << " is outside the network given by address and netmask: set gateway";
        return false;
    }
    return true;
}

bool check_whole(Config const& config, SeenLines const& seen, ConfigError& error)
{
    for (Key const& key : keys) {
        if (key.required && !was_set(seen, key.name)) {
            Message{error, 0} << key.name << " is missing; it is required (" << key.allowed << ")";
            return false;
        }
    }
    if (config.key == config.control_key) {
        Message{error, 0} << "key and control_key must differ: the guest's user holds control_key";
        return false;
    }
    return check_network(config, seen, error);
}

} // namespace

bool parse_config(std::string_view text, Config& config, ConfigError& error)
{
    config = Config{};
    error = ConfigError{};
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
        Message{error, 1} << "the file is UTF-16; save it as UTF-8 or ASCII";
        return false;
    }
    if (text.starts_with("\xef\xbb\xbf"))
        text.remove_prefix(3);
    SeenLines seen{};
    unsigned number = 0;
    while (!text.empty()) {
        std::size_t const end = position_of('\n', text);
        std::string_view const line = slice(text, 0, end);
        ++number;
        if (position_of('\0', line) != line.size()) {
            Message{error, number} << "zero byte: this is not a text file";
            return false;
        }
        if (!parse_line(line, number, config, seen, error))
            return false;
        text = slice(text, end + 1);
    }
    return check_whole(config, seen, error);
}

} // namespace undercroft::core
