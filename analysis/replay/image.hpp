// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The disk image that replay makes: a sparse copy of the base, then changed in place.
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace undercroft::analysis {

class Image {
public:
    /// Copies `base` (raw, opened for reading only) to `out`.part, as a reflink where the file system can, otherwise
    /// without its holes. Throws Error; `out` must not be there yet.
    Image(std::filesystem::path const& base, std::filesystem::path const& out);
    ~Image();
    Image(Image const&) = delete;
    Image& operator=(Image const&) = delete;

    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    void write(std::uint64_t offset, std::string_view data);
    void zero(std::uint64_t offset, std::uint64_t length);
    /// Syncs and gives the image its name.
    void finish();

private:
    void copy(int base);
    void copy_range(int base, std::uint64_t from, std::uint64_t to);
    [[noreturn]] void fail(char const* what) const;

    std::filesystem::path out_;
    std::filesystem::path part_;
    int fd_ = -1;
    std::uint64_t bytes_{};
};

/// Size of a raw image or block device; throws Error when it is another format (qcow2, VMDK ...).
[[nodiscard]] std::uint64_t raw_image_bytes(std::filesystem::path const& file);

} // namespace undercroft::analysis
