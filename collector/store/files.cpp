// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "collector/store/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <vector>

namespace undercroft::collector {
namespace {

std::atomic<FailpointHook> failpoint_hook{nullptr};

} // namespace

void set_failpoint_hook(FailpointHook hook)
{
    failpoint_hook = hook;
}

void failpoint(char const* step)
{
    if (FailpointHook const hook = failpoint_hook.load(std::memory_order_relaxed))
        hook(step);
}

void throw_errno(std::string_view action, fs::path const& path)
{
    int const code = errno;
    throw StoreError{std::string{action} + " " + path.string() + ": " + std::strerror(code), code};
}

File::File(fs::path path, int flags, unsigned mode) : path_{std::move(path)}
{
    fd_ = ::open(path_.c_str(), flags | O_CLOEXEC, mode);
    if (fd_ < 0)
        throw_errno("cannot open", path_);
}

File File::direct(fs::path path, int flags, unsigned mode)
{
    File file;
    file.path_ = std::move(path);
    file.fd_ = ::open(file.path_.c_str(), flags | O_DIRECT | O_CLOEXEC, mode);
    // A file system without direct transfers may have made the file before it refused.
    if (file.fd_ < 0 && errno == EINVAL)
        file.fd_ = ::open(file.path_.c_str(), (flags & ~O_EXCL) | O_CLOEXEC, mode);
    if (file.fd_ < 0)
        throw_errno("cannot open", file.path_);
    return file;
}

bool File::leave_direct() const
{
    if (errno != EINVAL)
        return false;
    int const flags = ::fcntl(fd_, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) != 0 && ::fcntl(fd_, F_SETFL, flags & ~O_DIRECT) == 0;
}

File::~File()
{
    if (fd_ >= 0)
        ::close(fd_);
}

void File::write_at(std::uint64_t offset, std::span<std::uint8_t const> bytes)
{
    failpoint("before write");
    while (!bytes.empty()) {
        ssize_t const written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && (errno == EINTR || leave_direct()))
            continue;
        if (written < 0)
            throw_errno("cannot write", path_);
        offset += static_cast<std::uint64_t>(written);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    failpoint("after write");
}

std::size_t File::read_at(std::uint64_t offset, std::span<std::uint8_t> bytes) const
{
    std::size_t total = 0;
    while (total < bytes.size()) {
        ssize_t const got =
            ::pread(fd_, bytes.data() + total, bytes.size() - total, static_cast<off_t>(offset + total));
        if (got < 0 && (errno == EINTR || leave_direct()))
            continue;
        if (got < 0)
            throw_errno("cannot read", path_);
        if (got == 0)
            break;
        total += static_cast<std::size_t>(got);
    }
    return total;
}

std::uint64_t File::size() const
{
    struct stat status{};
    if (::fstat(fd_, &status) != 0)
        throw_errno("cannot examine", path_);
    return static_cast<std::uint64_t>(status.st_size);
}

void File::truncate(std::uint64_t bytes)
{
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
        throw_errno("cannot cut", path_);
}

void File::sync_data()
{
    failpoint("before sync");
    if (::fdatasync(fd_) != 0)
        throw_errno("cannot sync", path_);
    failpoint("after sync");
}

void sync_directory(fs::path const& path)
{
    File const directory{path, O_RDONLY | O_DIRECTORY};
    if (::fsync(directory.fd()) != 0)
        throw_errno("cannot sync", path);
}

void create_directories_durably(fs::path const& path)
{
    if (::mkdir(path.c_str(), 0755) == 0) {
        sync_directory(path.has_parent_path() ? path.parent_path() : fs::path{"."});
        return;
    }
    if (errno == EEXIST && fs::is_directory(path))
        return;
    int const error = errno;
    // Some file systems (/proc) say ENOENT although the parent is there; then there is nothing more to try.
    if (error != ENOENT || !path.has_parent_path() || fs::exists(path.parent_path())) {
        errno = error;
        throw_errno("cannot create", path);
    }
    create_directories_durably(path.parent_path());
    create_directories_durably(path);
}

void publish(fs::path const& part, fs::path const& final_path)
{
    failpoint("before publish sync");
    File const file{part, O_RDWR};
    if (::fsync(file.fd()) != 0)
        throw_errno("cannot sync", part);
    failpoint("before rename");
    if (::rename(part.c_str(), final_path.c_str()) != 0)
        throw_errno("cannot rename", part);
    failpoint("after rename");
    sync_directory(final_path.parent_path());
    failpoint("after publish");
}

void remove_durably(fs::path const& path)
{
    failpoint("before remove");
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        throw_errno("cannot remove", path);
    failpoint("after remove");
    sync_directory(path.parent_path());
}

void replace_file(fs::path const& path, std::string_view text, bool durable)
{
    fs::path part = path;
    part += ".part";
    try {
        {
            File file{part, O_WRONLY | O_CREAT | O_TRUNC};
            file.write_at(0, std::span{reinterpret_cast<std::uint8_t const*>(text.data()), text.size()});
        }
        if (durable)
            publish(part, path);
        else if (::rename(part.c_str(), path.c_str()) != 0)
            throw_errno("cannot rename", part);
    } catch (...) { // a full disk: what was begun is of no use to anybody
        std::error_code ignored;
        fs::remove(part, ignored);
        throw;
    }
}

} // namespace undercroft::collector
