// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

#include "preflight/collector/facts.hpp"

namespace undercroft::preflight {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t chunk_bytes = std::size_t{4} << 20;
constexpr std::size_t most_bytes = std::size_t{256} << 20;
constexpr std::size_t sync_bytes = 4096;
constexpr std::size_t most_syncs = 100;
constexpr auto patience = 2s; ///< for each of the two measurements
/// The test never takes more than this share of what is free.
constexpr std::uint64_t free_share = 8;

[[noreturn]] void fail(std::string const& what)
{
    throw std::system_error{errno, std::generic_category(), what};
}

/// A file without a name: nothing is left behind, even if this program is killed.
class TestFile {
public:
    explicit TestFile(std::filesystem::path const& folder)
    {
        fd_ = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (fd_ >= 0)
            return;
        // Some file systems have no O_TMPFILE.
        std::string name = (folder / ".undercroft-preflight-XXXXXX").string();
        fd_ = ::mkostemp(name.data(), O_CLOEXEC);
        if (fd_ < 0)
            fail("cannot write to " + folder.string());
        ::unlink(name.c_str());
    }
    ~TestFile() { ::close(fd_); }
    TestFile(TestFile const&) = delete;
    TestFile& operator=(TestFile const&) = delete;

    void append(std::vector<char> const& bytes) const
    {
        for (std::size_t done = 0; done < bytes.size();) {
            auto const written = ::write(fd_, bytes.data() + done, bytes.size() - done);
            if (written < 0)
                fail("writing failed");
            done += static_cast<std::size_t>(written);
        }
    }
    void sync() const
    {
        if (::fdatasync(fd_) != 0)
            fail("fdatasync failed");
    }

private:
    int fd_ = -1;
};

/// Not all zero: some disks and file systems save themselves the work.
std::vector<char> noise(std::size_t size)
{
    std::vector<char> bytes(size);
    std::uint64_t state = 0x9E3779B97F4A7C15U;
    for (char& byte : bytes) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<char>(state >> 56);
    }
    return bytes;
}

std::uint64_t free_bytes(std::filesystem::path const& folder)
{
    struct statvfs figures{};
    if (::statvfs(folder.c_str(), &figures) != 0)
        fail("cannot ask for the free space of " + folder.string());
    return figures.f_bavail * static_cast<std::uint64_t>(figures.f_frsize);
}

double measure_writing(std::filesystem::path const& folder, std::uint64_t available)
{
    TestFile const file{folder};
    std::vector<char> const chunk = noise(chunk_bytes);
    auto const start = Clock::now();
    std::size_t written = 0;
    while (written < most_bytes && written + chunk_bytes <= available / free_share && Clock::now() - start < patience) {
        file.append(chunk);
        written += chunk_bytes;
    }
    file.sync();
    return static_cast<double>(written) / 1e6 / std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<double> measure_syncs(std::filesystem::path const& folder)
{
    TestFile const file{folder};
    std::vector<char> const bytes = noise(sync_bytes);
    std::vector<double> times_ms;
    auto const start = Clock::now();
    while (times_ms.empty() || (times_ms.size() < most_syncs && Clock::now() - start < patience)) {
        auto const before = Clock::now();
        file.append(bytes);
        file.sync();
        times_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - before).count());
    }
    std::ranges::sort(times_ms);
    return times_ms;
}

} // namespace

DiskFigures measure_disk(std::filesystem::path const& store)
{
    // A store that is not there yet will be made in the nearest folder that is.
    std::filesystem::path folder = std::filesystem::absolute(store);
    while (!std::filesystem::exists(folder) && folder.has_relative_path())
        folder = folder.parent_path();
    DiskFigures figures;
    figures.free_bytes = free_bytes(folder);
    std::vector<double> const syncs = measure_syncs(folder);
    figures.sync_median_ms = syncs[syncs.size() / 2];
    figures.sync_worst_ms = syncs.back();
    figures.write_mb_s = measure_writing(folder, figures.free_bytes);
    return figures;
}

} // namespace undercroft::preflight
