// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace undercroft::collector {

/// Throws std::runtime_error when the path is too long for a UNIX socket.
inline sockaddr_un socket_address(std::filesystem::path const& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.string().size() >= sizeof(address.sun_path))
        throw std::runtime_error{"control socket: the path is longer than a UNIX socket's may be: " + path.string()};
    std::memcpy(address.sun_path, path.c_str(), path.string().size());
    return address;
}

} // namespace undercroft::collector
