// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// File operations whose order crash safety depends on. Each passes a failpoint before and after.
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace undercroft::collector {

namespace fs = std::filesystem;

/// The store could not be read or written; the text names the file and the reason.
class StoreError : public std::runtime_error {
public:
    StoreError(std::string const& text, int code) : std::runtime_error{text}, code_{code} {}
    /// errno, 0 when it does not apply.
    [[nodiscard]] int code() const { return code_; }

private:
    int code_;
};

[[noreturn]] void throw_errno(std::string_view action, fs::path const& path);

/// Called at every step that a crash could fall on; tests end the process there.
using FailpointHook = void (*)(char const* step);
void set_failpoint_hook(FailpointHook hook);
void failpoint(char const* step);

/// An open file descriptor.
class File {
public:
    File() = default;
    File(fs::path path, int flags, unsigned mode = 0644);
    /// The same, with transfers past the page cache where the file system can: what is written is not copied, not kept
    /// in memory, and on its way to the disk at once. Offsets, lengths and addresses should be multiples of
    /// direct_alignment; from the first that the file system refuses on, transfers go through the page cache.
    [[nodiscard]] static File direct(fs::path path, int flags, unsigned mode = 0644);
    ~File();
    File(File&& other) noexcept : path_{std::move(other.path_)}, fd_{std::exchange(other.fd_, -1)} {}
    File& operator=(File&& other) noexcept
    {
        std::swap(path_, other.path_);
        std::swap(fd_, other.fd_);
        return *this;
    }

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] bool is_open() const { return fd_ >= 0; }
    [[nodiscard]] fs::path const& path() const { return path_; }
    void write_at(std::uint64_t offset, std::span<std::uint8_t const> bytes);
    /// Bytes read, fewer than asked for only at the end of the file.
    [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> bytes) const;
    [[nodiscard]] std::uint64_t size() const;
    void truncate(std::uint64_t bytes);
    void sync_data();

private:
    /// After a transfer was refused: true when it is worth trying again through the page cache.
    [[nodiscard]] bool leave_direct() const;

    fs::path path_;
    int fd_ = -1;
};

void sync_directory(fs::path const& path);
/// Creates missing folders and makes their names durable.
void create_directories_durably(fs::path const& path);
/// Syncs `part`, gives it its final name and makes that durable.
void publish(fs::path const& part, fs::path const& final_path);
void remove_durably(fs::path const& path);
/// Replaces the file in one step: readers see the old or the new text. `durable`: also after a power cut.
void replace_file(fs::path const& path, std::string_view text, bool durable);

} // namespace undercroft::collector
