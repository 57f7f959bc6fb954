// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One file's way to HDFS: under a temporary name, compared, renamed, noted.
#include <fcntl.h>

#include <fmt/format.h>

#include "collector/hdfs/checksum.hpp"
#include "collector/hdfs/uploader.hpp"

namespace undercroft::collector {
namespace {

/// Folders whose existence is remembered; beyond, they are asked for again.
constexpr std::size_t max_folders_made = 4096;

/// Spark and Hadoop leave out names that begin with '.'.
std::string temporary_name(std::string const& path)
{
    std::size_t const slash = path.rfind('/');
    std::size_t const name = slash == std::string::npos ? 0 : slash + 1;
    return path.substr(0, name) + "." + path.substr(name) + ".uploading";
}

} // namespace

void HdfsUploader::upload(Job const& job)
{
    File const local{spool_.store() / job.path, O_RDONLY};
    FileVersion const version = version_of(local);
    // An answer to the last try may have been lost, or the list of uploads.
    if (job.kind != ClosedKind::meta && difference(job.path, local, version.bytes).empty()) {
        std::lock_guard const guard{mutex_};
        ++figures_.files_found;
    } else {
        std::string const temporary = temporary_name(job.path);
        make_folder_of(job.path);
        hdfs_.create(temporary, local, version.bytes);
        if (std::string const wrong = difference(temporary, local, version.bytes); !wrong.empty())
            throw HdfsError{fmt::format("{} {} after its upload", temporary, wrong)};
        hdfs_.rename(temporary, job.path);
        std::lock_guard const guard{mutex_};
        ++figures_.files_uploaded;
        figures_.bytes_uploaded += version.bytes;
    }
    spool_.note_uploaded(job.path, version);
    delete_replaced(job.path);
}

/// Empty, or how the file at HDFS differs from the local one.
std::string HdfsUploader::difference(std::string const& remote, File const& local, std::uint64_t bytes)
{
    auto const status = hdfs_.status(remote);
    if (!status || status->directory)
        return "is not there";
    if (status->bytes != bytes)
        return fmt::format("has {} bytes there instead of {}", status->bytes, bytes);
    // HDFS has no checksum for a file without bytes.
    if (options_.verify != HdfsVerify::checksum || bytes == 0)
        return {};
    HdfsChecksum const checksum = hdfs_.checksum(remote);
    if (checksum.md5 != hdfs_md5(local, bytes, status->block_bytes, checksum))
        return "has another checksum there";
    return {};
}

void HdfsUploader::make_folder_of(std::string const& path)
{
    std::size_t const slash = path.rfind('/');
    std::string const folder = slash == std::string::npos ? std::string{} : path.substr(0, slash);
    if (folders_made_.contains(folder))
        return;
    hdfs_.make_folder(folder);
    if (folders_made_.size() >= max_folders_made)
        folders_made_.clear();
    folders_made_.insert(folder);
}

/// What `by` replaces, when it is there.
void HdfsUploader::delete_replaced(std::string const& by)
{
    for (Replacement const& one : spool_.replacements()) {
        if (one.by != by)
            continue;
        hdfs_.remove(one.old);
        spool_.note_deleted(one.old);
        std::lock_guard const guard{mutex_};
        ++figures_.files_replaced;
    }
}

} // namespace undercroft::collector
