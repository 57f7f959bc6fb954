// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Any bytes as a configuration file: never a crash, and the promises of config.hpp hold either way.
#include <cstdlib>
#include <cstring>
#include <string>

#include "hypervisor/core/config.hpp"

namespace {

/// Half of the inputs stand behind a valid start, so that the rules between keys are reached.
constexpr char required[] = "machine_id=00112233445566778899aabbccddeeff\ncollector=10.0.2.2:1\n"
                            "key=1112131415161718191a1b1c1d1e1f1112131415161718191a1b1c1d1e1f1122\n"
                            "control_key=2112131415161718191a1b1c1d1e1f1112131415161718191a1b1c1d1e1f1122\n";

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    using namespace undercroft::core;
    Config config;
    ConfigError error;
    std::string text;
    if (size > 0 && data[0] == '+') {
        text = required;
        ++data;
        --size;
    }
    text.append(reinterpret_cast<char const*>(data), size);
    if (parse_config(text, config, error)) {
        bool const in_range = config.mtu >= 576 && config.mtu <= 9000 && config.buffer_kib >= 64 &&
                              config.buffer_kib <= 4194304 && config.collector_port != 0 && config.send_delay_ms >= 1 &&
                              config.send_delay_ms <= 100 && config.log_level <= 3 && config.nic_device < 32 &&
                              config.nic_function < 8 && config.key != config.control_key;
        if (!in_range)
            std::abort();
    } else {
        std::size_t const length = strnlen(error.message, sizeof(error.message));
        if (length == 0 || length == sizeof(error.message) || error.line > text.size() + 1)
            std::abort();
        for (std::size_t i = 0; i < length; ++i)
            if (error.message[i] < 0x20 || error.message[i] > 0x7e)
                std::abort();
    }
    return 0;
}
