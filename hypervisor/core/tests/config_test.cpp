// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "hypervisor/core/config.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace undercroft::core {
namespace {

std::string const machine = "machine_id = 00112233445566778899aabbccddeeff\n";
std::string const key = "key = 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
std::string const control = "control_key = ff0102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f\n";
std::string const required = machine + key + control + "collector = 10.0.2.2:4040\n";

Config parsed(std::string const& text)
{
    Config config;
    ConfigError error;
    EXPECT_TRUE(parse_config(text, config, error)) << error.line << ": " << error.message;
    return config;
}

/// "line: message", or "ok".
std::string error_of(std::string const& text)
{
    Config config;
    ConfigError error;
    if (parse_config(text, config, error))
        return "ok";
    return std::to_string(error.line) + ": " + error.message;
}

std::string error_with(std::string const& line)
{
    return error_of(required + line);
}

TEST(Config, RequiredKeysAloneGiveDocumentedDefaults)
{
    Config const config = parsed(required);
    EXPECT_EQ(0x00, config.machine_id[0]);
    EXPECT_EQ(0xff, config.machine_id[15]);
    EXPECT_EQ(0x1f, config.key[31]);
    EXPECT_EQ(0xff, config.control_key[0]);
    EXPECT_EQ(0x0d, config.control_key[13]);
    EXPECT_EQ((Ipv4{10, 0, 2, 2}), config.collector);
    EXPECT_EQ(4040, config.collector_port);
    EXPECT_TRUE(config.capture_at_start);
    EXPECT_EQ(CaptureMode::content, config.mode);
    EXPECT_EQ(Policy::drop, config.policy);
    EXPECT_EQ(65536U, config.buffer_kib);
    EXPECT_TRUE(config.memory);
    EXPECT_EQ(8192U, config.memory_buffer_kib);
    EXPECT_TRUE(config.dhcp);
    EXPECT_FALSE(config.sntp);
    EXPECT_EQ(60U, config.sntp_interval_s);
    EXPECT_EQ(1500, config.mtu);
    EXPECT_EQ(NicChoice::automatic, config.nic);
    EXPECT_EQ(0, config.log_port);
    EXPECT_EQ(2, config.log_level);
    EXPECT_EQ(10U, config.send_delay_ms);
}

TEST(Config, EveryKeyIsRead)
{
    Config const config =
        parsed(required + "capture = off\nmode = header\npolicy = hold\nbuffer_kib = 4194304\n"
                          "memory = off\nmemory_buffer_kib = 256\n"
                          "address = 192.168.7.20\nnetmask = 255.255.240.0\ngateway = 192.168.1.1\n"
                          "sntp = 192.168.7.1:1123\nsntp_interval_s = 86400\nmtu = 9000\n"
                          "nic = pci:0a:1f.7\nlog_serial = 0x3e8\nlog_level = debug\nsend_delay_ms = 1\n");
    EXPECT_FALSE(config.capture_at_start);
    EXPECT_EQ(CaptureMode::header, config.mode);
    EXPECT_EQ(Policy::hold, config.policy);
    EXPECT_EQ(4194304U, config.buffer_kib);
    EXPECT_FALSE(config.memory);
    EXPECT_EQ(256U, config.memory_buffer_kib);
    EXPECT_FALSE(config.dhcp);
    EXPECT_EQ((Ipv4{192, 168, 7, 20}), config.address);
    EXPECT_EQ((Ipv4{255, 255, 240, 0}), config.netmask);
    EXPECT_EQ((Ipv4{192, 168, 1, 1}), config.gateway);
    EXPECT_TRUE(config.sntp);
    EXPECT_EQ((Ipv4{192, 168, 7, 1}), config.sntp_server);
    EXPECT_EQ(1123, config.sntp_port);
    EXPECT_EQ(86400U, config.sntp_interval_s);
    EXPECT_EQ(9000, config.mtu);
    EXPECT_EQ(NicChoice::address, config.nic);
    EXPECT_EQ(0x0a, config.nic_bus);
    EXPECT_EQ(0x1f, config.nic_device);
    EXPECT_EQ(7, config.nic_function);
    EXPECT_EQ(0x3e8, config.log_port);
    EXPECT_EQ(3, config.log_level);
    EXPECT_EQ(1U, config.send_delay_ms);
}

TEST(Config, WindowsAndEditorHabitsSurvive)
{
    Config const config = parsed("\xef\xbb\xbf# made by hand\r\n\r\n\t" + machine + key + control +
                                 "collector\t=\t10.0.2.2:1\t# trailing\r\nmtu=1400#tight\r\n  \t \r\npolicy = hold");
    EXPECT_EQ(1, config.collector_port);
    EXPECT_EQ(1400, config.mtu);
    EXPECT_EQ(Policy::hold, config.policy);
}

TEST(Config, ErrorsNameLineAndWhatIsAllowed)
{
    EXPECT_EQ("5: 'mtus' is not a known name; see docs/configuration.md", error_with("mtus = 1500\n"));
    EXPECT_EQ("6: mtu was already set in line 5", error_with("mtu = 1500\nmtu = 1500\n"));
    EXPECT_EQ("5: mtu = '9001': allowed is 576 ... 9000", error_with("mtu = 9001\n"));
    EXPECT_EQ("5: mtu = '': allowed is 576 ... 9000", error_with("mtu =\n"));
    EXPECT_EQ("5: mtu = '1500 bytes': allowed is 576 ... 9000", error_with("mtu = 1500 bytes\n"));
    EXPECT_EQ("5: buffer_kib = '18446744073709551680': allowed is 64 ... 4194304",
              error_with("buffer_kib = 18446744073709551680\n"));
    EXPECT_EQ("5: capture = 'yes': allowed is on or off", error_with("capture = yes\n"));
    EXPECT_EQ("5: expected 'name = value'", error_with("capture on\n"));
    EXPECT_EQ("5: expected 'name = value'", error_with("\xef\xbb\xbf\n"));
    EXPECT_EQ("5: log_level = 'e': allowed is error, warning, info or debug", error_with("log_level = e\n"));
    EXPECT_EQ("1: the file is UTF-16; save it as UTF-8 or ASCII", error_of("\xff\xfem"));
    EXPECT_EQ("5: zero byte: this is not a text file", error_with(std::string("mtu = 1500\0\n", 12)));
    EXPECT_EQ("0: machine_id is missing; it is required (32 hex digits, not all 0)", error_of(""));
    EXPECT_EQ("0: collector is missing; it is required (a.b.c.d:port)", error_of(machine + key + control));
}

TEST(Config, SecretsNeverAppearInMessages)
{
    EXPECT_EQ("2: key = (not shown): allowed is 64 hex digits, not all 0", error_of(machine + "key = 5ec2e7\n"));
    EXPECT_EQ("1: key = (not shown): allowed is 64 hex digits, not all 0", error_of("key = " + std::string(64, '0')));
    EXPECT_EQ("1: expected 'name = value'", error_of("000102030405060708090a0b0c0d0e0f\n"));
    EXPECT_EQ("0: key and control_key must differ: the guest's user holds control_key",
              error_of(machine + key + "control_" + key + "collector = 10.0.2.2:1\n"));
}

TEST(Config, AddressesAreChecked)
{
    for (char const* bad :
         {"10.0.2", "10.0.2.2.2", "10.0.2.256", "10.0..2", "10.0.2.2 ", ".0.2.2", "10.0.2.", "1e.0.2.2", "0.0.0.0",
          "127.0.0.1", "224.0.0.1", "255.255.255.255", "0010.0.2.2", "-1.0.0.1", "dhcpx"}) {
        std::string const text = bad;
        if (text == "10.0.2.2 ")
            continue; // trailing blanks are trimmed
        EXPECT_EQ("5: address = '" + text + "': allowed is dhcp or a host's a.b.c.d",
                  error_with("address = " + text + "\n"));
    }
    EXPECT_EQ("ok", error_with("address = 10.0.2.9\n"));
    EXPECT_EQ("0: collector is outside the network given by address and netmask: set gateway",
              error_with("address = 10.0.3.9\n"));
    EXPECT_EQ("ok", error_with("address = 10.0.3.9\ngateway = 10.0.3.1\n"));
    EXPECT_EQ("0: gateway is not in the network given by address and netmask",
              error_with("address = 10.0.3.9\ngateway = 10.0.2.1\n"));
    EXPECT_EQ("0: sntp is outside the network given by address and netmask: set gateway",
              error_with("address = 10.0.2.9\nsntp = 8.8.8.8\n"));
    EXPECT_EQ("5: gateway is only allowed with a fixed address (address = a.b.c.d)",
              error_with("gateway = 10.0.2.1\n"));
    EXPECT_EQ("5: netmask = '255.0.255.0': allowed is a mask such as 255.255.255.0",
              error_with("netmask = 255.0.255.0\n"));
    EXPECT_EQ("5: netmask = '0.0.0.0': allowed is a mask such as 255.255.255.0", error_with("netmask = 0.0.0.0\n"));
    for (char const* bad : {"10.0.2.2", "10.0.2.2:", "10.0.2.2:0", "10.0.2.2:65536", "10.0.2.2:1:2", ":1", "host:1"})
        EXPECT_EQ("1: collector = '" + std::string(bad) + "': allowed is a.b.c.d:port",
                  error_of("collector = " + std::string(bad)));
}

TEST(Config, NicAndSerialForms)
{
    for (char const* bad :
         {"pci:00:20.0", "pci:00:1f.8", "pci:0:1f.0", "pci:00-1f.0", "00:1f.0", "pci:00:1f.0x", "last"})
        EXPECT_EQ("5: nic = '" + std::string(bad) +
                      "': allowed is auto, first, e1000, e1000e, virtio or pci:BB:DD.F in hex",
                  error_with("nic = " + std::string(bad)));
    EXPECT_EQ(NicChoice::automatic, parsed(required + "nic = auto\n").nic);
    EXPECT_EQ(NicChoice::first, parsed(required + "nic = first\n").nic);
    EXPECT_EQ(NicChoice::e1000, parsed(required + "nic = e1000\n").nic);
    EXPECT_EQ(NicChoice::virtio, parsed(required + "nic = virtio\n").nic);
    EXPECT_EQ(NicChoice::e1000e, parsed(required + "nic = e1000e\n").nic);
    for (char const* bad : {"3e8", "0x", "0x0", "0x3e9", "0x10000", "com1", "on"})
        EXPECT_EQ("5: log_serial = '" + std::string(bad) + "': allowed is off or a port such as 0x3e8",
                  error_with("log_serial = " + std::string(bad)));
}

TEST(Config, TheDocumentedExampleIsValidAndSetsEveryKey)
{
    std::ifstream file{UC_SOURCE_DIR "/docs/configuration.md"};
    std::stringstream document;
    document << file.rdbuf();
    std::string const text = document.str();
    std::size_t const begin = text.find("```\n") + 4;
    std::string const example = text.substr(begin, text.find("```", begin) - begin);
    Config const config = parsed(example);
    EXPECT_EQ(262144U, config.buffer_kib);
    EXPECT_EQ((Ipv4{192, 168, 20, 31}), config.address);
    EXPECT_EQ(3, config.nic_bus);
    // Each row of the table names a key of the example, and the parser knows no other.
    std::size_t rows = 0;
    for (std::size_t at = text.find("| `"); at != std::string::npos; at = text.find("\n| `", at + 1), ++rows) {
        std::size_t const name = text.find('`', at) + 1;
        EXPECT_NE(std::string::npos,
                  ("\n" + example).find("\n" + text.substr(name, text.find('`', name) - name) + " "));
    }
    EXPECT_EQ(20U, rows);
}

TEST(Config, LongGarbageIsCutAndPrintable)
{
    std::string const message = error_with(std::string(5000, '\x1b') + " = 1\n");
    EXPECT_EQ("5: '" + std::string(32, '?') + "...' is not a known name; see docs/configuration.md", message);
}

} // namespace
} // namespace undercroft::core
