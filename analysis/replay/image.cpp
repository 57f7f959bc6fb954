// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/replay/image.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t chunk_bytes = 1 << 20;

/// Closes when it goes out of scope.
struct File {
    int fd;
    explicit File(fs::path const& path) : fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}
    {
        if (fd < 0)
            throw Error{fmt::format("{}: cannot be opened: {}", path.string(), std::strerror(errno))};
    }
    ~File() { ::close(fd); }
    File(File const&) = delete;
    File& operator=(File const&) = delete;
};

std::uint64_t size_of(int fd, fs::path const& path)
{
    off_t const end = ::lseek(fd, 0, SEEK_END);
    if (end < 0)
        throw Error{fmt::format("{}: has no size: {}", path.string(), std::strerror(errno))};
    return static_cast<std::uint64_t>(end);
}

} // namespace

std::uint64_t raw_image_bytes(fs::path const& path)
{
    File const file{path};
    std::array<char, 4> head{};
    constexpr std::array<std::string_view, 2> magics{"QFI\xfb", "KDMV"};
    if (::pread(file.fd, head.data(), head.size(), 0) == 4 &&
        std::ranges::find(magics, std::string_view{head.data(), head.size()}) != magics.end())
        throw Error{fmt::format("{}: not a raw image; make one with: qemu-img convert -O raw", path.string())};
    return size_of(file.fd, path);
}

Image::Image(fs::path const& base, fs::path const& out) : out_{out}, part_{out.string() + ".part"}
{
    if (fs::exists(out_))
        throw Error{fmt::format("{}: is there already; it is not overwritten", out_.string())};
    File const from{base};
    bytes_ = size_of(from.fd, base);
    fd_ = ::open(part_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ < 0)
        fail("cannot be created");
    try {
        copy(from.fd);
    } catch (...) {
        ::close(fd_);
        ::unlink(part_.c_str());
        throw;
    }
}

Image::~Image()
{
    if (fd_ < 0)
        return;
    ::close(fd_);
    ::unlink(part_.c_str());
}

void Image::fail(char const* what) const
{
    throw Error{fmt::format("{}: {}: {}", part_.string(), what, std::strerror(errno))};
}

void Image::copy(int base)
{
    if (::ioctl(fd_, FICLONE, base) == 0)
        return;
    if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0)
        fail("cannot be made as large as the base");
    std::uint64_t at = 0;
    while (at < bytes_) {
        off_t const data = ::lseek(base, static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return; // only a hole is left
        // Devices and file systems that do not know their holes: everything is data.
        std::uint64_t const from = data < 0 ? at : static_cast<std::uint64_t>(data);
        off_t const hole = data < 0 ? -1 : ::lseek(base, data, SEEK_HOLE);
        std::uint64_t const to = hole < 0 ? bytes_ : std::min(static_cast<std::uint64_t>(hole), bytes_);
        copy_range(base, from, to);
        at = to;
    }
}

void Image::copy_range(int base, std::uint64_t from, std::uint64_t to)
{
    std::vector<char> buffer(chunk_bytes);
    while (from < to) {
        ssize_t const got =
            ::pread(base, buffer.data(), std::min<std::uint64_t>(buffer.size(), to - from), static_cast<off_t>(from));
        if (got <= 0)
            fail("copying: the base cannot be read");
        write(from, {buffer.data(), static_cast<std::size_t>(got)});
        from += static_cast<std::uint64_t>(got);
    }
}

void Image::write(std::uint64_t offset, std::string_view data)
{
    while (!data.empty()) {
        ssize_t const put = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
        if (put <= 0)
            fail("cannot be written");
        data.remove_prefix(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
}

void Image::zero(std::uint64_t offset, std::uint64_t length)
{
    if (length == 0)
        return;
    if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(length)) == 0)
        return;
    std::string const zeros(std::min<std::uint64_t>(length, chunk_bytes), '\0');
    for (std::uint64_t done = 0; done < length; done += zeros.size())
        write(offset + done, std::string_view{zeros}.substr(0, std::min<std::uint64_t>(zeros.size(), length - done)));
}

void Image::finish()
{
    if (::fsync(fd_) != 0)
        fail("cannot be synced");
    ::close(fd_);
    fd_ = -1;
    std::error_code error;
    fs::rename(part_, out_, error);
    if (error)
        throw Error{fmt::format("{}: cannot be renamed: {}", part_.string(), error.message())};
}

} // namespace undercroft::analysis
